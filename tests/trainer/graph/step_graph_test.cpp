#include "trainer/graph/step_graph.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/errors.h"
#include "tests/comm/forwarding_communicator.h"
#include "tests/comm/rank_threads.h"
#include "tests/trainer/graph/repeating_recording.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RepeatingRecording;

std::vector<StepInput> batch(double value, std::int64_t samples = 4) {
  return {{at::full({samples, 2}, value), at::full({samples}, static_cast<std::int64_t>(value), at::kLong)}};
}

// One rank's graph of a step that adds up what it is given.
struct Sums {
  explicit Sums(CommunicatorPtr communicator, const std::string& problem = {})
      : graph(std::make_unique<RepeatingRecording>(counts, problem), std::move(communicator)) {}

  bool step(const std::vector<StepInput>& inputs, bool settled = true) {
    const bool replays = graph.prepare(inputs, settled, [this](const auto& given) { add(given); });
    replays ? graph.replay(++steps) : add(inputs);
    return replays;
  }
  void add(const std::vector<StepInput>& inputs) {
    for (const StepInput& input : inputs) {
      sum += input.data.sum().item<double>() + input.target.sum().item<double>();
      read.push_back(input.data.data_ptr());
    }
  }

  std::shared_ptr<RepeatingRecording::Counts> counts = std::make_shared<RepeatingRecording::Counts>();
  StepGraph graph;
  double sum = 0.0;
  std::int64_t steps = 0;
  std::vector<void*> read;
};

CommunicatorPtr alone() {
  return make_thread_communicators(1, std::chrono::seconds(20)).front();
}

TEST(StepGraph, CapturesTheFourthStepInItsOwnPlace) {
  Sums sums(alone());
  std::vector<bool> replayed;
  for (int step = 1; step <= 6; ++step) replayed.push_back(sums.step(batch(step)));
  EXPECT_THAT(replayed, ElementsAre(false, false, false, true, true, true));
  EXPECT_EQ(sums.counts->captures, 1);
  EXPECT_EQ(sums.counts->replays, 3);
  EXPECT_EQ(sums.sum, (1 + 2 + 3 + 4 + 5 + 6) * (4 * 2 + 4)) << "each batch counts once";
  EXPECT_EQ(sums.read[3], sums.read[4]) << "replays read where the captured step did";
  EXPECT_EQ(sums.read[3], sums.read[5]);
}

TEST(StepGraph, WaitsUntilEverythingIsSettled) {
  Sums sums(alone());
  for (int step = 1; step <= 5; ++step) EXPECT_FALSE(sums.step(batch(step), /*settled=*/false));
  EXPECT_TRUE(sums.step(batch(6)));
  EXPECT_EQ(sums.counts->captures, 1);
}

TEST(StepGraph, OtherShapesAreDoneEagerlyInBetween) {
  Sums sums(alone());
  for (int step = 1; step <= 4; ++step) sums.step(batch(step));
  EXPECT_FALSE(sums.step(batch(5, /*samples=*/3)));
  std::vector<StepInput> two = batch(6);
  two.push_back(two.front());
  EXPECT_FALSE(sums.step(two)) << "batches that are accumulated";
  EXPECT_FALSE(sums.step({{batch(7)[0].data.t().contiguous().t(), batch(7)[0].target}})) << "another layout";
  EXPECT_FALSE(sums.step({{batch(8)[0].data.to(at::kDouble), batch(8)[0].target}})) << "another dtype";
  EXPECT_TRUE(sums.step(batch(9)));
  EXPECT_EQ(sums.counts->captures, 1);
  EXPECT_EQ(sums.sum, (1 + 2 + 3 + 4) * 12 + 5 * 9 + 2 * 6 * 12 + (7 + 8 + 9) * 12);
}

TEST(StepGraph, WhatOneRankCannotCaptureNoneReplays) {
  std::vector<std::string> problems(3);
  std::vector<double> results(3);
  testing::run_ranks(3, [&](Communicator& comm) {
    const auto rank = static_cast<std::size_t>(comm.rank());
    Sums sums({&comm, [](Communicator*) {}},
              comm.rank() == 1 ? "operation not permitted when stream is capturing\nwith a stack trace" : "");
    for (int step = 1; step <= 6; ++step) EXPECT_FALSE(sums.step(batch(step)));
    EXPECT_EQ(sums.counts->captures, 1) << "it is not tried again";
    EXPECT_EQ(sums.counts->replays, 0);
    EXPECT_FALSE(sums.graph.is_captured());
    problems[rank] = sums.graph.problem();
    results[rank] = sums.sum;
  });
  for (const std::string& problem : problems)
    EXPECT_EQ(problem, "rank 1: operation not permitted when stream is capturing");
  for (const double sum : results) EXPECT_EQ(sum, (1 + 2 + 3 + 4 + 5 + 6) * 12);
}

// A communicator that is told of replays, as NCCL's.
class Watching final : public testing::ForwardingCommunicator, public ReplayWatch {
 public:
  Watching() : ForwardingCommunicator(alone()) {}

  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override {
    bytes_ += static_cast<std::int64_t>(tensor.nbytes());
    return ForwardingCommunicator::all_reduce(std::move(tensor), op);
  }
  std::int64_t bytes_sent() const override { return bytes_; }

  void watch_replay(const std::string& what, std::int64_t bytes_sent) override {
    watched.push_back(what);
    bytes_ += bytes_sent;
  }
  void throw_if_failed() override {
    if (!failure.empty()) throw CommError(failure);
  }

  std::vector<std::string> watched;
  std::string failure;

 private:
  std::int64_t bytes_ = 0;
};

// Records by running once what replays, like a graph's, do without the host.
class SilentRecording final : public StepRecording {
 public:
  void capture(const std::function<void()>& work) override { work(); }
  void replay() override {}
};

TEST(StepGraph, ReplaysAreWatchedAndTheirBytesCounted) {
  const auto communicator = std::make_shared<Watching>();
  StepGraph graph(std::make_unique<SilentRecording>(), communicator);
  const auto work = [&](const auto&) { communicator->all_reduce(at::zeros({25}), ReduceOp::kSum)->wait(); };
  for (int step = 1; step <= 3; ++step) EXPECT_FALSE(graph.prepare(batch(step), true, work));
  ASSERT_TRUE(graph.prepare(batch(4), true, work));
  const std::int64_t agreed = communicator->bytes_sent();  // with the agreement on the capture
  graph.replay(4);
  EXPECT_EQ(communicator->bytes_sent(), agreed) << "counted as it was recorded";
  ASSERT_TRUE(graph.prepare(batch(5), true, work));
  graph.replay(5);
  EXPECT_EQ(communicator->bytes_sent(), agreed + 100);
  EXPECT_THAT(communicator->watched,
              ElementsAre("the replay of the captured step 4", "the replay of the captured step 5"));
}

TEST(StepGraph, AFailedPeerEndsTheNextReplay) {
  const auto communicator = std::make_shared<Watching>();
  StepGraph graph(std::make_unique<SilentRecording>(), communicator);
  const auto work = [](const auto&) {};
  for (int step = 1; step <= 4; ++step) graph.prepare(batch(step), true, work);
  graph.replay(4);
  communicator->failure = "the replay of the captured step 4 timed out after 3 s: a peer is missing";
  EXPECT_THROW(graph.check_peers(), CommError);
  ASSERT_TRUE(graph.prepare(batch(5), true, work));
  EXPECT_THROW(graph.replay(5), CommError);
  EXPECT_EQ(communicator->watched.size(), 1u);
}

// An error of the communicator's while capturing is the run's, not the graph's.
TEST(StepGraph, ACommunicatorThatFailsWhileCapturingEndsTheRun) {
  class Failing final : public StepRecording {
    void capture(const std::function<void()>&) override { throw CommError("rank 0: a peer is missing"); }
    void replay() override {}
  };
  StepGraph graph(std::make_unique<Failing>(), alone());
  const auto work = [](const auto&) {};
  for (int step = 1; step <= 3; ++step) graph.prepare(batch(step), true, work);
  EXPECT_THROW(graph.prepare(batch(4), true, work), CommError);
}

}  // namespace
}  // namespace lockstep
