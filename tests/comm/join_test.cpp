#include "comm/join.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include "comm/distributed_data_parallel.h"
#include "comm/shared_memory_communicator.h"
#include "comm/sync_batch_norm.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(AgreeOnPass, FollowsTheRanksThatHaveInputs) {
  testing::run_ranks(3, [](Communicator& comm) {
    std::optional<ForwardPass> mine;
    if (comm.rank() != 2) mine = ForwardPass{.with_gradients = true, .synchronize = false};
    const auto agreed = agree_on_pass(mine, comm);
    ASSERT_TRUE(agreed);
    EXPECT_EQ(agreed->rank, 1);
    EXPECT_TRUE(agreed->pass.with_gradients);
    EXPECT_FALSE(agreed->pass.synchronize);
    EXPECT_FALSE(agree_on_pass(std::nullopt, comm));
    EXPECT_EQ(agree_on_rank(comm.rank() < 2, comm), 1);
  });
}

// The loss is weight * input, so that the gradient is the input.
struct Scale : torch::nn::Module {
  Scale() {
    weight = register_parameter("weight", at::zeros({2}));
    calls = register_buffer("calls", at::zeros({1}));
  }
  at::Tensor forward(double input) {
    if (at::GradMode::is_enabled()) calls += 1;
    return (weight * input).sum();
  }
  at::Tensor weight;
  at::Tensor calls;
};

void train_step(DistributedDataParallel<Scale>& ddp, double input) {
  ddp.module().zero_grad();
  ddp.forward(input).backward();
  const at::NoGradGuard no_grad;
  ddp.module().weight.sub_(ddp.module().weight.grad());
}

// Over messages through buckets, and over shared memory, where gradients are otherwise averaged without any.
class JoinTest : public ::testing::TestWithParam<bool> {
 protected:
  static void run_ranks(int world_size, const std::function<void(Communicator&)>& body) {
    testing::run_ranks(world_size, body, std::chrono::seconds(20), GetParam() ? share_memory : nullptr);
  }
  static CommunicatorPtr share_memory(CommunicatorPtr base) {
    auto created =
        SharedMemoryCommunicator::create(std::move(base), ReductionOrder::kPytorch, std::chrono::seconds(20));
    if (!created.communicator) throw std::runtime_error(created.problem);
    return created.communicator;
  }
};

INSTANTIATE_TEST_SUITE_P(Backends, JoinTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "SharedMemory" : "Messages"; });

TEST_P(JoinTest, RanksWithoutInputsCountAsZerosAndGetTheLastState) {
  run_ranks(3, [](Communicator& comm) {
    DistributedDataParallel<Scale> ddp(std::make_shared<Scale>(), {&comm, [](Communicator*) {}});
    ddp.join([&] {
      for (int step = 0; step < 1 + 2 * comm.rank(); ++step) train_step(ddp, 3.0);
    });
    // Steps with 3, 2, 2, 1 and 1 ranks, each rank's gradient 3, divided by 3.
    EXPECT_TRUE(at::equal(ddp.module().weight, at::full({2}, -9.0)));
    EXPECT_EQ(ddp.module().calls.item<float>(), 5.0F);
    train_step(ddp, 3.0);  // and the ranks go on together
    EXPECT_TRUE(at::equal(ddp.module().weight, at::full({2}, -12.0)));
  });
}

TEST_P(JoinTest, AccumulationAndEvaluationAreFollowed) {
  run_ranks(2, [](Communicator& comm) {
    DistributedDataParallel<Scale> ddp(std::make_shared<Scale>(), {&comm, [](Communicator*) {}});
    ddp.join([&] {
      for (int step = 0; step < 2 * comm.rank(); ++step) {
        ddp.module().zero_grad();
        {
          const auto no_sync = ddp.no_sync();
          ddp.forward(1.0).backward();
        }
        ddp.forward(3.0).backward();
        const at::NoGradGuard no_grad;
        EXPECT_TRUE(at::equal(ddp.module().weight.grad(), at::full({2}, 2.0)));  // (1 + 3) of one rank in two
        ddp.forward(1.0);
      }
    });
  });
}

TEST(Join, WhatCannotJoinIsRefused) {
  testing::run_ranks(2, [](Communicator& comm) {
    const CommunicatorPtr shared{&comm, [](Communicator*) {}};
    SyncBatchNorm norm(torch::nn::BatchNormOptions(2), shared);
    EXPECT_THAT([&] { check_can_join(*norm); },
                ThrowsMessage<std::invalid_argument>(HasSubstr("synchronised SyncBatchNorm")));
    DistributedDataParallel<Scale> ddp(std::make_shared<Scale>(), shared);
    ddp.join([&] {
      EXPECT_THROW(ddp.join([] {}), std::logic_error);
      EXPECT_THROW(ddp.sync_buffers(), std::logic_error);
    });
    EXPECT_THROW(ddp.join([] { throw std::runtime_error("a bad sample"); }), std::runtime_error);
  });
}

}  // namespace
}  // namespace lockstep
