#include "comm/distributed_data_parallel.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include <thread>

#include "comm/errors.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

struct Net : torch::nn::Module {
  explicit Net(int hidden) {
    first = register_module("first", torch::nn::Linear(4, hidden));
    norm = register_module("norm", torch::nn::BatchNorm1d(hidden));
    last = register_module("last", torch::nn::Linear(hidden, 1));
  }
  at::Tensor forward(const at::Tensor& x) { return last(norm(first(x)).relu()); }
  torch::nn::Linear first{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
  torch::nn::Linear last{nullptr};
};

// Communicators are owned by run_ranks.
CommunicatorPtr borrow(Communicator& comm) {
  return {&comm, [](Communicator*) {}};
}

// Rank r's model has every parameter equal to r + 1.
std::shared_ptr<Net> net_of_rank(int rank, int hidden = 3) {
  const at::NoGradGuard no_grad;
  auto net = std::make_shared<Net>(hidden);
  for (const at::Tensor& parameter : net->parameters()) parameter.fill_(rank + 1);
  for (const at::Tensor& buffer : net->buffers()) buffer.fill_(rank + 1);
  return net;
}

// The rank's own reproducible inputs (8, 4).
at::Tensor inputs_of(int rank, int step) {
  return (at::arange(32, at::kFloat).view({8, 4}) * (rank + 1) + step).remainder(7.0) - 3.0;
}

TEST(DistributedDataParallelTest, StartsFromRankZeroAndStaysEqual) {
  testing::run_ranks(3, [](Communicator& comm) {
    DistributedDataParallel<Net> ddp(net_of_rank(comm.rank()), borrow(comm));
    for (const at::Tensor& tensor : ddp.module().parameters())
      EXPECT_TRUE(at::equal(tensor, at::ones_like(tensor)));
    for (const at::Tensor& tensor : ddp.module().buffers())
      EXPECT_TRUE(at::equal(tensor, at::ones_like(tensor)));
    for (int step = 0; step < 5; ++step) {
      ddp.module().zero_grad();
      ddp.forward(inputs_of(comm.rank(), step)).pow(2).mean().backward();
      const at::NoGradGuard no_grad;
      for (const at::Tensor& parameter : ddp.module().parameters()) parameter.sub_(parameter.grad() * 0.01);
    }
    for (const at::Tensor& parameter : ddp.module().parameters()) {
      const at::Tensor everybodys = at::empty({3 * parameter.numel()});
      comm.all_gather(everybodys, parameter.detach().contiguous().view({-1}))->wait();
      for (int rank = 1; rank < 3; ++rank) {
        EXPECT_TRUE(at::equal(everybodys.narrow(0, 0, parameter.numel()),
                              everybodys.narrow(0, rank * parameter.numel(), parameter.numel())));
      }
    }
  });
}

TEST(DistributedDataParallelTest, BuffersComeFromRankZeroBeforeTheForwardAfterATrainingStep) {
  testing::run_ranks(2, [](Communicator& comm) {
    DistributedDataParallel<Net> ddp(net_of_rank(0), borrow(comm));
    ddp.forward(inputs_of(comm.rank(), 0)).sum().backward();
    const at::Tensor mine = ddp.module().norm->running_mean.clone();
    at::Tensor from_zero = mine.clone();
    comm.broadcast(from_zero, 0)->wait();
    if (comm.rank() == 1) {  // they differ in between, as in PyTorch
      EXPECT_FALSE(at::equal(mine, from_zero));
    }
    ddp.module().eval();
    {
      const at::NoGradGuard no_grad;
      ddp.forward(inputs_of(comm.rank(), 1));
    }
    EXPECT_TRUE(at::equal(ddp.module().norm->running_mean, from_zero));
  });
}

struct Masked : torch::nn::Module {
  Masked() {
    weight = register_parameter("weight", at::ones({2}));
    mask = register_buffer("mask", at::zeros({2}, at::kBool));
  }
  at::Tensor forward(const at::Tensor& x) { return (weight * x).masked_fill(mask, 0.0).sum(); }
  at::Tensor weight;
  at::Tensor mask;
};

// Parameters and buffers after three steps of four ranks with two batches each.
std::vector<at::Tensor> train_four_ranks(int world_size) {
  std::vector<at::Tensor> result;
  const int logical_ranks = 4 / world_size;
  testing::run_ranks(world_size, [&](Communicator& comm) {
    auto net = net_of_rank(comm.rank());
    {
      const at::NoGradGuard no_grad;
      net->first->weight.copy_(inputs_of(2, 1).slice(0, 0, 3));  // no parameter is like another
    }
    DdpOptions options;
    options.reducer.logical_ranks = world_size == 4 ? 0 : logical_ranks;
    DistributedDataParallel<Net> ddp(net, borrow(comm), options);
    for (int step = 0; step < 3; ++step) {
      ddp.module().zero_grad();
      for (int rank = comm.rank() * logical_ranks; rank < (comm.rank() + 1) * logical_ranks; ++rank) {
        {
          const auto no_sync = ddp.no_sync();
          ddp.forward(inputs_of(rank, 2 * step)).pow(2).mean().backward();
        }
        ddp.forward(inputs_of(rank, 2 * step + 1)).pow(2).mean().backward();
      }
      const at::NoGradGuard no_grad;
      for (at::Tensor& parameter : ddp.module().parameters()) parameter.sub_(parameter.grad(), 0.01);
    }
    ddp.sync_buffers();
    if (comm.rank() != 0) return;
    for (const at::Tensor& tensor : ddp.module().parameters()) result.push_back(tensor.detach().clone());
    for (const at::Tensor& tensor : ddp.module().buffers()) result.push_back(tensor.clone());
  });
  return result;
}

// As a replayed step leaves them, of which forward() and backward() know nothing.
TEST(DistributedDataParallelTest, BuffersThatAReplayHasChangedAreMadeEqual) {
  testing::run_ranks(2, [](Communicator& comm) {
    DistributedDataParallel<Masked> ddp(std::make_shared<Masked>(), borrow(comm));
    const auto change = [&] { ddp.module().mask.fill_(comm.rank() == 0); };
    change();
    ddp.sync_buffers();
    EXPECT_EQ(ddp.module().mask[0].item<bool>(), comm.rank() == 0) << "nothing was expected to differ";
    ddp.expect_replay();
    ddp.sync_buffers();
    EXPECT_TRUE(ddp.module().mask[0].item<bool>()) << "rank 0's";
  });
}

TEST(DistributedDataParallelTest, LogicalRanksGiveTheSameModelOnAnyNumberOfRanks) {
  const std::vector<at::Tensor> expected = train_four_ranks(4);
  ASSERT_EQ(expected.size(), 9U);  // 6 parameters, 3 buffers
  for (const int world_size : {1, 2}) {
    const std::vector<at::Tensor> actual = train_four_ranks(world_size);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(at::equal(actual[i], expected[i])) << world_size << " ranks, tensor " << i;
  }
}

TEST(DistributedDataParallelTest, SeveralLogicalRanksNeedBuffersToBeBroadcast) {
  testing::run_ranks(1, [](Communicator& comm) {
    DdpOptions options;
    options.broadcast_buffers = false;
    options.reducer.logical_ranks = 2;
    EXPECT_THROW(DistributedDataParallel<Net>(net_of_rank(0), borrow(comm), options), std::invalid_argument);
  });
}

TEST(DistributedDataParallelTest, BuffersOfAnyDtypeAreBroadcast) {
  testing::run_ranks(2, [](Communicator& comm) {
    auto module = std::make_shared<Masked>();
    if (comm.rank() == 0) module->mask.fill_(true);
    const DistributedDataParallel<Masked> ddp(module, borrow(comm));
    EXPECT_TRUE(module->mask.all().item<bool>());
  });
}

// As in PyTorch: what counts is whether the pass before was to be synchronised, not the one that begins.
TEST(DistributedDataParallelTest, BuffersAreBroadcastBeforeAnAccumulatingPass) {
  testing::run_ranks(2, [](Communicator& comm) {
    DistributedDataParallel<Net> ddp(net_of_rank(0), borrow(comm));
    ddp.forward(inputs_of(comm.rank(), 0)).sum().backward();
    at::Tensor from_zero = ddp.module().norm->running_mean.clone();
    comm.broadcast(from_zero, 0)->wait();
    ddp.module().norm->eval();  // so that the statistics stay what was broadcast
    const auto no_sync = ddp.no_sync();
    ddp.forward(inputs_of(comm.rank(), 1)).sum().backward();
    EXPECT_TRUE(at::equal(ddp.module().norm->running_mean, from_zero));
  });
}

TEST(DistributedDataParallelTest, NoSyncSendsNothing) {
  testing::run_ranks(2, [](Communicator& comm) {
    DistributedDataParallel<Net> ddp(net_of_rank(0), borrow(comm));
    const auto before = comm.bytes_sent();
    {
      const auto no_sync = ddp.no_sync();
      ddp.forward(inputs_of(comm.rank(), 0)).sum().backward();
      ddp.forward(inputs_of(comm.rank(), 1)).sum().backward();
    }
    EXPECT_EQ(comm.bytes_sent(), before);
    ddp.forward(inputs_of(comm.rank(), 2)).sum().backward();
    comm.barrier();  // the counter is settled once a later collective is through
    EXPECT_GT(comm.bytes_sent(), before);
  });
}

TEST(DistributedDataParallelTest, ModelsThatDifferAreRefusedOnEveryRank) {
  testing::run_ranks(2, [](Communicator& comm) {
    try {
      const DistributedDataParallel<Net> ddp(net_of_rank(0, comm.rank() == 0 ? 3 : 4), borrow(comm));
      ADD_FAILURE() << "ranks with different models were accepted";
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(),
                  HasSubstr("rank 1 has parameter first.weight Float[4, 4], rank 0 has Float[3, 4]"));
    }
  });
}

}  // namespace
}  // namespace lockstep
