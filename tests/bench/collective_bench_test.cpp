// The benchmark's own doings, with one rank and contenders whose faults are known. What several ranks do is
// in tests/end_to_end/bench_test.py.
#include "bench/collective_bench.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

// With one rank the sum is the input.
class Copies : public CollectiveContender {
 public:
  explicit Copies(std::string name) : name_(std::move(name)) {}
  std::string name() const override { return name_; }
  void run(const at::Tensor& output, const at::Tensor& input) override {
    ++runs;
    if (!output.is_same(input)) output.copy_(input);
  }
  int runs = 0;

 private:
  std::string name_;
};

class ForgetsTheLastElement final : public Copies {
 public:
  using Copies::Copies;
  void run(const at::Tensor& output, const at::Tensor& input) override {
    Copies::run(output, input);
    output[output.numel() - 1] = 100;
  }
};

class DoesNothing final : public Copies {
 public:
  using Copies::Copies;
  void run(const at::Tensor& /*output*/, const at::Tensor& /*input*/) override {}
};

CollectiveConfig small() {
  CollectiveConfig config;
  config.min_bytes = "4";
  config.max_bytes = "2M";
  config.step_factor = 1 << 19;
  config.warmup_iters = 1;
  config.iters = 3;
  return config;
}

CollectiveResult measure(const CollectiveConfig& config,
                         const std::vector<std::unique_ptr<CollectiveContender>>& contenders) {
  const BenchWorld world(config, Placement{}, /*with_mpi=*/false);
  return measure_collective(config, world, contenders, [](const auto&) {});
}

TEST(CollectiveBench, SizesGrowByTheFactorAndHoldWholeElements) {
  CollectiveConfig config;
  config.min_bytes = "6";
  config.max_bytes = "100";
  config.step_factor = 3;
  EXPECT_EQ(sizes_of(config, 4, 2), (std::vector<std::int64_t>{4, 16, 52}));
  EXPECT_THROW(sizes_of(config, 8, 2), std::invalid_argument);
}

TEST(CollectiveBench, WrongElementsAreCountedForTheContenderThatMadeThem) {
  for (const bool in_place : {true, false}) {
    CollectiveConfig config = small();
    config.in_place = in_place;
    std::vector<std::unique_ptr<CollectiveContender>> contenders;
    contenders.push_back(std::make_unique<Copies>("lockstep"));
    contenders.push_back(std::make_unique<ForgetsTheLastElement>("faulty"));
    const CollectiveResult result = measure(config, contenders);
    ASSERT_EQ(result.rows.size(), 4u);
    EXPECT_EQ(result.rows[0].wrong, 0);
    EXPECT_EQ(result.rows[1].wrong, 64 * 4);  // 4 bytes: 64 operations in each of 4 rounds
    EXPECT_EQ(result.rows[2].wrong, 0);
    EXPECT_EQ(result.rows[3].wrong, 4);
  }
}

TEST(CollectiveBench, AnOutputOfTheTurnBeforeIsNoResult) {
  CollectiveConfig config = small();
  config.in_place = false;
  std::vector<std::unique_ptr<CollectiveContender>> contenders;
  contenders.push_back(std::make_unique<DoesNothing>("idle"));
  EXPECT_GT(measure(config, contenders).rows.back().wrong, 0);
}

TEST(CollectiveBench, WarmBuffersAreThoseOfAnOperationBefore) {
  CollectiveConfig config = small();
  config.buffers = "warm";
  config.min_bytes = "2M";
  std::vector<std::unique_ptr<CollectiveContender>> contenders;
  contenders.push_back(std::make_unique<Copies>("lockstep"));
  const auto* copies = static_cast<const Copies*>(contenders[0].get());
  EXPECT_EQ(measure(config, contenders).rows[0].wrong, 0);
  EXPECT_EQ(copies->runs, 2 * 4);
}

TEST(CollectiveBench, RatiosAreToTheFirst) {
  std::vector<std::unique_ptr<CollectiveContender>> contenders;
  contenders.push_back(std::make_unique<Copies>("lockstep"));
  contenders.push_back(std::make_unique<Copies>("peer"));
  const CollectiveResult result = measure(small(), contenders);
  EXPECT_FALSE(result.rows[0].over_ours);
  ASSERT_TRUE(result.rows[1].over_ours);
  EXPECT_GT(result.rows[1].over_ours->min, 0.0);
  EXPECT_FALSE(result.stopped);
}

TEST(CollectiveBench, SharesAreEquallyLarge) {
  CollectiveConfig config;
  config.min_bytes = "100";
  config.max_bytes = "400";
  config.step_factor = 4;
  for (const auto collective : {Collective::kReduceScatter, Collective::kAllGather}) {
    config.collective = collective;
    EXPECT_EQ(sizes_of(config, 4, 3), (std::vector<std::int64_t>{96, 396}));
    EXPECT_THROW(sizes_of(config, 8, 13), std::invalid_argument);
  }
  config.collective = Collective::kBroadcast;
  EXPECT_EQ(sizes_of(config, 8, 13), (std::vector<std::int64_t>{96, 400}));
}

// nccl-tests' docs/PERFORMANCE.md.
TEST(CollectiveBench, BytesOnTheWireAreNcclTestsFactors) {
  EXPECT_EQ(ring_bytes(Collective::kAllReduce, 100, 1), 0);
  EXPECT_EQ(ring_bytes(Collective::kAllReduce, 100, 2), 100);
  EXPECT_EQ(ring_bytes(Collective::kAllReduce, 100, 4), 150);
  EXPECT_DOUBLE_EQ(ring_bytes(Collective::kAllReduce, 4, 3), 16.0 / 3);
  EXPECT_EQ(ring_bytes(Collective::kReduceScatter, 100, 4), 75);
  EXPECT_EQ(ring_bytes(Collective::kAllGather, 100, 4), 75);
  EXPECT_EQ(ring_bytes(Collective::kBroadcast, 100, 4), 100);
  EXPECT_EQ(ring_bytes(Collective::kSendReceive, 100, 4), 100);
}

TEST(CollectiveBench, EveryCollectivesResultIsChecked) {
  for (const auto collective : {Collective::kReduceScatter, Collective::kAllGather, Collective::kBroadcast,
                                Collective::kSendReceive}) {
    CollectiveConfig config = small();
    config.collective = collective;
    for (const bool in_place : {true, false}) {
      config.in_place =
          (in_place && collective != Collective::kSendReceive) || collective == Collective::kBroadcast;
      std::vector<std::unique_ptr<CollectiveContender>> contenders;
      contenders.push_back(std::make_unique<Copies>("lockstep"));
      contenders.push_back(std::make_unique<ForgetsTheLastElement>("faulty"));
      CollectiveResult result = measure(config, contenders);
      ASSERT_EQ(result.rows.size(), 4u);
      EXPECT_EQ(result.rows[2].wrong, 0) << name_of(collective);
      EXPECT_EQ(result.rows[3].wrong, 4) << name_of(collective);
      config.check = 0;
      EXPECT_EQ(measure(config, contenders).rows[3].wrong, std::nullopt);
      config.check = 1;
    }
  }
}

TEST(CollectiveBench, TheHarnessIsTimedAroundNothing) {
  const BenchWorld world(small(), Placement{}, /*with_mpi=*/false);
  const double harness_s = measure_harness_s(small(), world);
  EXPECT_GT(harness_s, 0);
  EXPECT_LT(harness_s, 1e-4);
}

TEST(CollectiveBench, PeersThatCannotTakePartAreRefused) {
  CollectiveConfig config;
  BenchWorld world(config, Placement{}, false);
  config.compare = "mpi";
  config.dtype = "bfloat16";
  EXPECT_THROW(make_collective_contenders(config, world), std::invalid_argument);
  config.compare = "tcp";
  EXPECT_THROW(make_collective_contenders(config, world), std::invalid_argument);
  config.compare = "";
  config.root = 1;
  EXPECT_THROW(make_collective_contenders(config, world), std::invalid_argument);
  config.root = 0;
  config.collective = Collective::kSendReceive;
  EXPECT_THROW(make_collective_contenders(config, world), std::invalid_argument);
  EXPECT_THROW(address_of_interface("no-such-interface"), std::invalid_argument);
  EXPECT_EQ(address_of_interface("lo"), "127.0.0.1");
}

}  // namespace
}  // namespace lockstep
