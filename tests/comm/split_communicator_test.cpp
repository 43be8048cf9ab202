// Groups of ranks: as many as colours, each a communicator of its own.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/linear.h>

#include <cstdlib>

#include "comm/backend.h"
#include "comm/distributed_data_parallel.h"
#include "comm/errors.h"
#include "tests/comm/collective_cases.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr int kColumns = 3;  // of a grid of ranks

CommunicatorOptions within_a_minute(ReductionOrder order = ReductionOrder::kPytorch) {
  CommunicatorOptions options;
  options.timeout = std::chrono::seconds(60);
  options.reduction_order = order;
  return options;
}

// The average of what its ranks have.
float mean_over(Communicator& group, int value) {
  const at::Tensor sum = at::full({1}, value, at::kFloat);
  group.all_reduce(sum)->wait();
  return sum.item<float>() / static_cast<float>(group.world_size());
}

TEST(SplitCommunicatorTest, RowsAndColumnsOfAGridOfRanks) {
  testing::run_ranks(2 * kColumns, [](Communicator& comm) {
    const int row = comm.rank() / kColumns;
    const int column = comm.rank() % kColumns;
    const CommunicatorPtr in_row = split_communicator(comm, row, within_a_minute());
    const CommunicatorPtr in_column =
        split_communicator(comm, column, within_a_minute(ReductionOrder::kTree));
    EXPECT_EQ(in_row->rank(), column);
    EXPECT_EQ(in_row->world_size(), kColumns);
    EXPECT_EQ(in_row->reduction_order(), ReductionOrder::kPytorch);
    EXPECT_EQ(in_column->rank(), row);
    EXPECT_EQ(in_column->world_size(), 2);
    EXPECT_EQ(in_column->reduction_order(), ReductionOrder::kTree);
    EXPECT_EQ(mean_over(*in_row, comm.rank()), static_cast<float>(row * kColumns + 1));
    EXPECT_EQ(mean_over(*in_column, comm.rank()), static_cast<float>(column) + 1.5F);
    EXPECT_EQ(mean_over(comm, comm.rank()), 2.5F);  // which goes on as before
    in_row->shutdown();
    in_column->shutdown();
  });
}

TEST(SplitCommunicatorTest, EveryCollectiveIsExact) {
  testing::run_ranks(5, [](Communicator& comm) {
    const CommunicatorPtr group = split_communicator(comm, comm.rank() % 2, within_a_minute());
    testing::check_all_collectives(*group);
    group->shutdown();
  });
}

TEST(SplitCommunicatorTest, ARankMayStayOutOrAlone) {
  testing::run_ranks(4, [](Communicator& comm) {
    const int colors[] = {7, -1, 7, 0};
    const CommunicatorPtr group = split_communicator(comm, colors[comm.rank()], within_a_minute());
    if (comm.rank() == 1) {
      EXPECT_EQ(group, nullptr);
    } else {
      EXPECT_EQ(group->world_size(), comm.rank() == 3 ? 1 : 2);
      EXPECT_EQ(mean_over(*group, comm.rank()), comm.rank() == 3 ? 3.0F : 1.0F);
      group->shutdown();
    }
  });
  testing::run_ranks(
      2, [](Communicator& comm) { EXPECT_EQ(split_communicator(comm, -1, within_a_minute()), nullptr); });
}

// Two models on four ranks, each with the bits of a world of two.
TEST(SplitCommunicatorTest, DataParallelWithinGroups) {
  const auto train = [](CommunicatorPtr group, int seed) {
    DistributedDataParallel<torch::nn::LinearImpl> ddp(std::make_shared<torch::nn::LinearImpl>(8, 4),
                                                       std::move(group));
    {
      const at::NoGradGuard no_grad;
      for (at::Tensor& parameter : ddp.module().parameters())
        parameter.copy_(at::arange(parameter.numel(), at::kFloat).view(parameter.sizes()).sin());
    }
    const at::Tensor input = at::arange(40, at::kFloat).view({5, 8}).mul(0.37 * (seed + 1)).cos();
    ddp.forward(input).pow(2).sum().backward();
    return ddp.module().weight.grad().clone();
  };
  std::vector<at::Tensor> of_two(4);
  for (const int first : {0, 2}) {
    testing::run_ranks(2, [&](Communicator& comm) {
      const CommunicatorPtr world(&comm, [](Communicator*) {});
      const int seed = first + comm.rank();
      of_two[static_cast<std::size_t>(seed)] = train(world, seed);
    });
  }
  EXPECT_FALSE(at::equal(of_two[0], of_two[2]));
  testing::run_ranks(4, [&](Communicator& comm) {
    const CommunicatorPtr group = split_communicator(comm, comm.rank() / 2, within_a_minute());
    const at::Tensor gradient = train(group, comm.rank());
    EXPECT_TRUE(at::equal(gradient, of_two[static_cast<std::size_t>(comm.rank())])) << "rank " << comm.rank();
    group->shutdown();
  });
}

// It is told to the group's other ranks even by a rank that has nothing to do and destroys its communicator.
TEST(SplitCommunicatorTest, AFailureStaysInItsGroup) {
  testing::run_ranks(4, [](Communicator& comm) {
    CommunicatorPtr group = split_communicator(comm, comm.rank() % 2, within_a_minute());
    EXPECT_EQ(group->named_rank(group->rank()), comm.rank());
    if (comm.rank() == 3) {
      group->abort("lost its disk");
      group.reset();
    } else if (comm.rank() == 1) {
      try {
        mean_over(*group, 1);
        ADD_FAILURE() << "the sum of a group that has lost a rank";
      } catch (const CommError& error) {
        EXPECT_THAT(error.what(), HasSubstr("rank 3 gave up: rank 3: lost its disk"));
        EXPECT_EQ(error.peer(), 3);
      }
    } else {
      EXPECT_EQ(mean_over(*group, comm.rank()), 1.0F);
      group->shutdown();
    }
    comm.barrier();
  });
}

TEST(SplitCommunicatorTest, RanksThatWouldSplitDifferentlyAreAllRefused) {
  testing::run_ranks(3, [](Communicator& comm) {
    const ReductionOrder order = comm.rank() == 2 ? ReductionOrder::kTree : ReductionOrder::kPytorch;
    try {
      split_communicator(comm, 0, within_a_minute(order));
      ADD_FAILURE() << "ranks with two orders in one group";
    } catch (const std::invalid_argument& error) {
      EXPECT_STREQ(error.what(),
                   "split_communicator: the ranks do not agree: rank 2 has reduction order tree, rank 0 has "
                   "pytorch");
    }
  });
}

TEST(SplitCommunicatorTest, AWrongInterfaceIsToldToThoseWhoStayOutAsWell) {
  setenv("LOCKSTEP_SOCKET_IFNAME", "=no-such", 1);
  testing::run_ranks(3, [](Communicator& comm) {
    EXPECT_THROW(split_communicator(comm, comm.rank() == 1 ? -1 : 0, within_a_minute()),
                 std::invalid_argument);
  });
  unsetenv("LOCKSTEP_SOCKET_IFNAME");
}

}  // namespace
}  // namespace lockstep
