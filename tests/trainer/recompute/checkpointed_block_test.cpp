#include "trainer/recompute/checkpointed_block.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <mutex>

#include "comm/distributed_data_parallel.h"
#include "comm/sync_batch_norm.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

struct Block final : CheckpointedBlock {
  Block() {
    linear = register_module("linear", torch::nn::Linear(4, 4));
    norm = register_module("norm", SyncBatchNorm(4));
  }
  at::Tensor compute(const at::Tensor& x) override {
    ++calls;
    return norm->forward(linear->forward(x)).relu() + x;
  }
  torch::nn::Linear linear{nullptr};
  SyncBatchNorm norm{nullptr};
  int calls = 0;
};

// Nothing but blocks, so that the first gradient, too, comes out of what is computed again.
struct Net : torch::nn::Module {
  Net() {
    const at::NoGradGuard no_grad;
    for (int i = 0; i < 3; ++i) {
      blocks.push_back(register_module(std::to_string(i), std::make_shared<Block>()));
      for (const at::Tensor& parameter : blocks.back()->parameters())
        parameter.copy_(at::arange(parameter.numel(), at::kFloat).add(i + 1).sin().view(parameter.sizes()));
    }
  }
  at::Tensor forward(at::Tensor x) {
    for (const auto& block : blocks) x = block->forward(x);
    return x;
  }
  std::vector<std::shared_ptr<Block>> blocks;
};

struct Case {
  int world_size = 1;
  int logical_ranks = 1;  // of each rank
  bool accumulates = false;
  bool synchronizes = false;
};

// Rank 0's parameters and buffers after three steps.
std::vector<at::Tensor> train(const Case& test, bool checkpointed) {
  std::vector<at::Tensor> result;
  testing::run_ranks(test.world_size, [&](Communicator& comm) {
    const CommunicatorPtr borrowed{&comm, [](Communicator*) {}};
    auto net = std::make_shared<Net>();
    if (test.synchronizes) convert_sync_batch_norm(*net, borrowed);
    if (checkpointed && checkpoint_blocks(*net) != 3) throw std::logic_error("not every block was found");
    DdpOptions options;
    options.reducer.logical_ranks = test.logical_ranks;
    options.reducer.bucket_cap_bytes = 200;  // a bucket for every block or so
    options.reducer.first_bucket_cap_bytes = 100;
    DistributedDataParallel<Net> ddp(net, borrowed, options);
    int passes = 0;
    for (int step = 0; step < 3; ++step) {
      net->zero_grad();
      for (int logical = 0; logical < test.logical_ranks; ++logical) {
        const auto pass = [&](int batch) {
          const int seed = 10 * (comm.rank() * test.logical_ranks + logical) + 3 * step + batch;
          ddp.forward(at::arange(32, at::kFloat).add(seed).mul(0.37).sin().view({8, 4}))
              .pow(2)
              .mean()
              .backward();
          ++passes;
        };
        if (test.accumulates) {
          const auto no_sync = ddp.no_sync();
          pass(0);
        }
        pass(1);
      }
      if (step > 0 && ddp.reducer().times().buckets_started_in_backward == 0)
        throw std::logic_error("no bucket was on its way before the last gradient");
      const at::NoGradGuard no_grad;
      for (const at::Tensor& parameter : net->parameters()) parameter.sub_(parameter.grad() * 0.05);
    }
    for (const auto& block : net->blocks) {
      if (block->calls != (checkpointed ? 2 : 1) * passes) throw std::logic_error("calls were left out");
    }
    ddp.sync_buffers();
    if (comm.rank() != 0) return;
    for (const at::Tensor& tensor : net->parameters()) result.push_back(tensor.detach().clone());
    for (const at::Tensor& tensor : net->buffers()) result.push_back(tensor.detach().clone());
  });
  return result;
}

void expect_the_same_bits(const Case& test) {
  const auto expected = train(test, false);
  const auto actual = train(test, true);
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(at::equal(actual[i], expected[i])) << i;
}

TEST(CheckpointedBlock, TrainsToTheSameBitsOnTwoRanks) {
  expect_the_same_bits({.world_size = 2});
}

TEST(CheckpointedBlock, TrainsToTheSameBitsWhileGradientsAccumulate) {
  expect_the_same_bits({.world_size = 2, .accumulates = true});
}

TEST(CheckpointedBlock, TrainsToTheSameBitsWithSeveralLogicalRanks) {
  expect_the_same_bits({.world_size = 2, .logical_ranks = 2, .accumulates = true});
}

// Its collectives of the forward pass are done again in the backward pass, between those of gradients.
TEST(CheckpointedBlock, TrainsToTheSameBitsWithSyncBatchNorm) {
  expect_the_same_bits({.world_size = 2, .synchronizes = true});
}

TEST(CheckpointedBlock, IsFoundWhereverItIs) {
  Net net;
  EXPECT_TRUE(has_blocks(net));
  torch::nn::Linear none(4, 4);
  EXPECT_FALSE(has_blocks(*none));
  EXPECT_EQ(checkpoint_blocks(*none), 0);
}

// The graph keeps the block that it calls again.
TEST(CheckpointedBlock, MayGoBeforeItsGraph) {
  auto block = std::make_shared<Block>();
  auto holder = std::make_shared<torch::nn::Module>();
  holder->register_module("block", block);
  checkpoint_blocks(*holder);
  const at::Tensor x = at::arange(32, at::kFloat).sin().view({8, 4}).requires_grad_();
  const at::Tensor sum = block->forward(x).pow(2).sum();
  holder.reset();
  block.reset();
  sum.backward();
  EXPECT_GT(x.grad().abs().max().item<float>(), 0.0F);
}

}  // namespace
}  // namespace lockstep
