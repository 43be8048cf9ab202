#include "comm/communication_hook.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "comm/errors.h"
#include "comm/reducer.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class FinishedWork final : public Work {
 public:
  void wait() override {}
  bool is_completed() const override { return true; }
};

// Averages in its own way, and keeps what it was given.
class RecordingHook final : public CommunicationHook {
 public:
  WorkPtr exchange(const GradientBucket& bucket, Communicator& communicator) override {
    given.push_back(bucket.gradients.clone());
    indices.push_back(bucket.index);
    count = bucket.count;
    communicator.all_reduce(bucket.gradients)->wait();
    at::Tensor(bucket.gradients).div_(communicator.world_size());
    return std::make_shared<FinishedWork>();
  }
  std::vector<at::Tensor> given;
  std::vector<std::size_t> indices;
  std::size_t count = 0;
};

class ThrowingHook final : public CommunicationHook {
 public:
  ThrowingHook(int failing_rank, bool in_wait) : failing_rank_(failing_rank), in_wait_(in_wait) {}
  WorkPtr exchange(const GradientBucket& bucket, Communicator& communicator) override {
    const bool fails = communicator.rank() == failing_rank_;
    if (fails && !in_wait_) throw std::runtime_error("out of luck");
    return std::make_shared<ThrowingWork>(communicator.all_reduce(bucket.gradients), fails);
  }

 private:
  class ThrowingWork final : public Work {
   public:
    ThrowingWork(WorkPtr inner, bool fails) : inner_(std::move(inner)), fails_(fails) {}
    void wait() override {
      if (fails_) throw std::runtime_error("out of luck");
      inner_->wait();
    }
    bool is_completed() const override { return inner_->is_completed(); }

   private:
    WorkPtr inner_;
    bool fails_;
  };
  int failing_rank_;
  bool in_wait_;
};

std::vector<std::pair<std::string, at::Tensor>> two_parameters() {
  return {{"a", at::ones({2}).requires_grad_()}, {"b", at::ones({3}).requires_grad_()}};
}

// Gradients of a: scale, of b: 2 scale.
void backward(const std::vector<std::pair<std::string, at::Tensor>>& parameters, double scale) {
  (parameters[0].second.sum() * scale + parameters[1].second.sum() * (2 * scale)).backward();
}

TEST(CommunicationHook, GetsUnscaledGradientsOfEachBucketInOrder) {
  testing::run_ranks(3, [](Communicator& comm) {
    const auto parameters = two_parameters();
    const auto hook = std::make_shared<RecordingHook>();
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.hook = hook});
    reducer.load_history({{{0}, {1}}, true});
    for (int step = 0; step < 2; ++step) {
      for (const auto& [name, parameter] : parameters) parameter.mutable_grad().reset();
      reducer.prepare_for_forward(true);
      backward(parameters, 3.0 * (comm.rank() + 1));
      EXPECT_TRUE(at::equal(parameters[0].second.grad(), at::full({2}, 6.0)));  // the mean of 3, 6, 9
      EXPECT_TRUE(at::equal(parameters[1].second.grad(), at::full({3}, 12.0)));
    }
    EXPECT_EQ(hook->indices, (std::vector<std::size_t>{0, 1, 0, 1}));
    EXPECT_EQ(hook->count, 2U);
    EXPECT_TRUE(at::equal(hook->given[0], at::full({2}, 3.0 * (comm.rank() + 1))));
    EXPECT_TRUE(at::equal(hook->given[3], at::full({3}, 6.0 * (comm.rank() + 1))));
  });
}

// Gradients that stayed in their buckets, zeroed or not, are what the hook gets.
TEST(CommunicationHook, GradientsThatAccumulateInTheirBucketArriveWhole) {
  testing::run_ranks(2, [](Communicator& comm) {
    const auto parameters = two_parameters();
    Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.hook = std::make_shared<RecordingHook>()});
    for (int step = 1; step <= 3; ++step) {
      reducer.prepare_for_forward(true);
      backward(parameters, comm.rank() + 1.0);
      EXPECT_TRUE(at::equal(parameters[0].second.grad(), at::full({2}, 1.5 * step)));
    }
  });
}

TEST(CommunicationHook, CompressionRoundsOnceOnTheWay) {
  for (const auto& [name, dtype] : {std::pair{"fp16", at::kHalf}, std::pair{"bf16", at::kBFloat16}}) {
    testing::run_ranks(2, [&, name = name, dtype = dtype](Communicator& comm) {
      const auto parameters = two_parameters();
      Reducer reducer(parameters, {&comm, [](Communicator*) {}}, {.hook = create_communication_hook(name)});
      const auto sent = comm.bytes_sent();
      reducer.prepare_for_forward(true);
      backward(parameters, 0.1);
      comm.barrier();
      // The same on both ranks: half of it is exact, and so is the sum of two halves.
      const at::Tensor expected = at::full({2}, 0.1F).to(dtype).to(at::kFloat);
      EXPECT_TRUE(at::equal(parameters[0].second.grad(), expected)) << name;
      EXPECT_FALSE(at::equal(expected, at::full({2}, 0.1F)));
      EXPECT_LT(comm.bytes_sent() - sent, 5 * 4);  // five gradients of four bytes would be 20 each way
    });
  }
}

class CommunicationHookFaultTest : public ::testing::TestWithParam<bool> {};

TEST_P(CommunicationHookFaultTest, AHookThatThrowsEndsAllRanks) {
  std::vector<std::string> errors(2);
  testing::run_ranks(2, [&](Communicator& comm) {
    const auto parameters = two_parameters();
    Reducer reducer(parameters, {&comm, [](Communicator*) {}},
                    {.hook = std::make_shared<ThrowingHook>(1, GetParam())});
    reducer.prepare_for_forward(true);
    try {
      backward(parameters, 1.0);
      comm.barrier();
      ADD_FAILURE() << "rank " << comm.rank() << " went on";
    } catch (const CommError& error) {
      errors[static_cast<std::size_t>(comm.rank())] = error.what();
    }
  });
  EXPECT_THAT(errors[1], AllOf(HasSubstr("rank 1: the communication hook failed in bucket 0: out of luck")));
  EXPECT_THAT(errors[0], HasSubstr("out of luck"));
}

INSTANTIATE_TEST_SUITE_P(WhereItThrows, CommunicationHookFaultTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "InWait" : "InExchange"; });

TEST(CommunicationHook, NamesAndDtypesThatDoNotExistAreRefused) {
  EXPECT_EQ(create_communication_hook("none"), nullptr);
  EXPECT_THROW(create_communication_hook("fp8"), std::invalid_argument);
  EXPECT_THROW(CompressHook(at::kFloat), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
