// Sockets of our own between ranks in threads, each a machine of its own or several on one.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <thread>

#include "comm/errors.h"
#include "comm/fold.h"
#include "comm/machine_layout.h"
#include "tests/comm/collective_cases.h"
#include "tests/comm/tcp_ranks.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::run_tcp;
using testing::TcpWorld;

class TcpCommunicatorTest : public ::testing::TestWithParam<TcpWorld> {};

TEST_P(TcpCommunicatorTest, EveryCollectiveIsExact) {
  run_tcp(GetParam(), [](Communicator& comm) { testing::check_all_collectives(comm); });
}

TEST_P(TcpCommunicatorTest, EveryCollectiveIsExactInTreeOrder) {
  TcpWorld world = GetParam();
  world.order = ReductionOrder::kTree;
  run_tcp(world, [](Communicator& comm) { testing::check_all_collectives(comm); });
}

std::vector<at::Tensor> random_rows(std::int64_t rows, std::int64_t count, at::ScalarType dtype) {
  at::manual_seed(17);
  std::vector<at::Tensor> result;
  for (std::int64_t r = 0; r < rows; ++r) result.push_back(at::randn({count}).to(dtype));
  return result;
}

// As one pass over all ranks' tensors has it.
at::Tensor expected_sum(const std::vector<at::Tensor>& inputs, ReductionOrder order) {
  std::vector<const void*> pointers;
  for (const at::Tensor& input : inputs) pointers.push_back(input.const_data_ptr());
  const at::Tensor& first = inputs.front();
  at::Tensor sum = at::empty_like(first);
  void* const into = sum.mutable_data_ptr();
  fold_ranks({&into, 1}, pointers, 0, first.numel(),
             ring_chunks(first.numel(), static_cast<std::int64_t>(first.element_size()),
                         static_cast<int>(inputs.size())),
             {.dtype = first.scalar_type(), .order = order});
  return sum;
}

// Around what goes to everybody at once, around a chunk and a segment.
constexpr std::int64_t kCounts[] = {1, 7, 2047, 2049, 100003, 1050001};

TEST_P(TcpCommunicatorTest, SumsHaveTheBitsOfTheirOrder) {
  for (const ReductionOrder order : {ReductionOrder::kPytorch, ReductionOrder::kTree}) {
    TcpWorld world = GetParam();
    world.order = order;
    std::vector<std::vector<at::Tensor>> inputs;
    std::vector<at::Tensor> sums;
    for (const std::int64_t count : kCounts) {
      inputs.push_back(random_rows(world.world_size(), count, count == 100003 ? at::kHalf : at::kFloat));
      sums.push_back(expected_sum(inputs.back(), order));
    }
    run_tcp(world, [&](Communicator& comm) {
      for (std::size_t i = 0; i < sums.size(); ++i) {
        const at::Tensor& input = inputs[i][static_cast<std::size_t>(comm.rank())];
        const at::Tensor ordinary = input.clone();
        const at::Tensor allocated = comm.allocate(input.sizes(), input.options());
        allocated.copy_(input);
        const WorkPtr works[] = {comm.all_reduce(ordinary), comm.all_reduce(allocated)};
        for (const WorkPtr& work : works) work->wait();
        EXPECT_TRUE(at::equal(ordinary, sums[i])) << kCounts[i] << " " << to_string(world);
        EXPECT_TRUE(at::equal(allocated, sums[i])) << kCounts[i] << " " << to_string(world);
      }
    });
  }
}

TEST_P(TcpCommunicatorTest, RowsHaveTheBitsOfAsManyRanks) {
  const TcpWorld world = GetParam();
  for (const std::int64_t rows : {2, 3}) {
    const std::int64_t ranks = rows * world.world_size();
    for (const std::int64_t count : {5, 70001}) {
      const auto inputs = random_rows(ranks, count, at::kFloat);
      const at::Tensor pytorch = expected_sum(inputs, ReductionOrder::kPytorch);
      const at::Tensor tree = expected_sum(inputs, ReductionOrder::kTree);
      run_tcp(world, [&](Communicator& comm) {
        for (const bool last_row : {false, true}) {
          for (const ReductionOrder order : {ReductionOrder::kPytorch, ReductionOrder::kTree}) {
            const at::Tensor mine = at::stack(std::vector<at::Tensor>(
                inputs.begin() + comm.rank() * rows, inputs.begin() + (comm.rank() + 1) * rows));
            const at::Tensor output = last_row ? mine[rows - 1] : at::empty({count});
            comm.all_reduce_rows(output, mine, order)->wait();
            EXPECT_TRUE(at::equal(output, order == ReductionOrder::kTree ? tree : pytorch))
                << rows << " rows of " << count << " on " << to_string(world);
          }
        }
      });
    }
  }
}

// As world_sizes() has it.
std::vector<TcpWorld> worlds() {
  if (testing::kSanitized) return {{2, 1}, {3, 1}, {2, 2}};
  return {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}, {7, 1},
          {8, 1}, {2, 2}, {3, 2}, {2, 3}, {2, 4}, {4, 2}, {1, 3}};
}

INSTANTIATE_TEST_SUITE_P(Worlds, TcpCommunicatorTest, ::testing::ValuesIn(worlds()),
                         [](const auto& instance) {
                           return std::to_string(instance.param.machines) + "x" +
                                  std::to_string(instance.param.ranks_per_machine);
                         });

TEST(TcpCommunicatorBytesTest, MachinesSendWhatAFlatRingWouldAtMost) {
  constexpr std::int64_t kCount = 1 << 20;
  const auto sent = [](ReductionOrder order) {
    std::atomic<std::int64_t> total = 0;
    run_tcp({.machines = 2, .ranks_per_machine = 4, .order = order}, [&](Communicator& comm) {
      comm.all_reduce(at::zeros({kCount}))->wait();
      comm.barrier();  // bytes are counted when a collective has ended on this rank
      total += comm.bytes_sent();
    });
    return total.load();
  };
  // Chunks of a whole number of elements: each of the two machines sends half of the tensor to gather it, and
  // to reduce it 7/8 in the order of a ring of 8, or half where it has one node of the tree.
  EXPECT_EQ(sent(ReductionOrder::kTree), 2 * (kCount * 4 / 2 + kCount * 4 / 2));
  EXPECT_EQ(sent(ReductionOrder::kPytorch), 2 * (kCount * 4 / 2 + kCount * 4 * 7 / 8));
}

TEST(TcpCommunicatorBytesTest, OrdinarySumsShareTheRanksOut) {
  run_tcp({.machines = 4}, [](Communicator& comm) {
    comm.all_reduce(at::zeros({1 << 20}))->wait();
    comm.barrier();
    EXPECT_EQ(comm.bytes_sent(), 2 * 3 * (4 << 20) / 4);
  });
}

TEST(MachineLayoutTest, WantsEqualBlocks) {
  EXPECT_TRUE(layout_of({"a", "a", "b", "b", "c", "c"}).is_hierarchical());
  EXPECT_EQ(layout_of({"a", "a", "b", "b", "c", "c"}).machines, 3);
  EXPECT_FALSE(layout_of({"a", "b"}).is_hierarchical());
  EXPECT_EQ(layout_of({"a", "b"}).problem, "");
  EXPECT_FALSE(layout_of({"a", "a"}).is_hierarchical());
  EXPECT_EQ(layout_of({"a", "a"}).problem, "");
  EXPECT_THAT(layout_of({"a", "b", "a", "b"}).problem, HasSubstr("rank 1 is not on the machine of rank 0"));
  EXPECT_THAT(layout_of({"a", "a", "b"}).problem, HasSubstr("1 of the ranks are on rank 2's machine"));
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no CommError";
}

class TcpFaultTest : public ::testing::TestWithParam<TcpWorld> {};

TEST_P(TcpFaultTest, MismatchedCollectivesAreNamed) {
  const std::string message = error_of([] {
    run_tcp(GetParam(),
            [](Communicator& comm) { comm.all_reduce(at::zeros({comm.rank() == 0 ? 3 : 4}))->wait(); });
  });
  EXPECT_THAT(message, AllOf(HasSubstr("do not match"), HasSubstr("Float[3]"), HasSubstr("Float[4]")));
}

TEST_P(TcpFaultTest, TimeoutSaysWhoIsMissingAndWhereTheyAre) {
  TcpWorld world = GetParam();
  world.timeout = std::chrono::seconds(4);
  const int last = world.world_size() - 1;
  std::mutex mutex;
  std::vector<std::string> messages;
  std::latch waiting(last);
  const std::string message = error_of([&] {
    run_tcp(world, [&](Communicator& comm) {
      comm.all_reduce(at::zeros({3}))->wait();
      if (comm.rank() == last) {
        waiting.wait();  // until all the others have given up
        throw CommError("late");
      }
      try {
        comm.all_reduce(at::zeros({5000}))->wait();
      } catch (const CommError& error) {
        {
          const std::scoped_lock lock(mutex);
          messages.emplace_back(error.what());
        }
        waiting.count_down();
        throw;
      }
    });
  });
  ASSERT_EQ(static_cast<int>(messages.size()), last);
  for (const std::string& text : messages)
    EXPECT_THAT(text, AllOf(HasSubstr("all_reduce #1 (Float[5000])"), HasSubstr("timed out after")));
  if (world.ranks_per_machine == 1) {
    EXPECT_THAT(messages, ::testing::Contains(HasSubstr("waiting for rank " + std::to_string(last) +
                                                        ", which has done all_reduce #0 (Float[3])")));
    if (last > 1) {
      // Whoever was first to give up says where the others are, itself excepted.
      EXPECT_THAT(messages, ::testing::Contains(::testing::ContainsRegex(
                                "; rank [0-9] is in all_reduce #1 \\(Float\\[5000\\]\\)")));
    }
  } else {
    EXPECT_THAT(messages, ::testing::Contains(HasSubstr("waiting for rank " + std::to_string(last - 1) +
                                                        ", which has come to all_reduce #1 (Float[5000]) "
                                                        "and waits for other ranks of its machine")));
  }
}

TEST_P(TcpFaultTest, AnAbortReachesEveryRankWithItsReason) {
  std::atomic<int> told = 0;
  const auto begin = std::chrono::steady_clock::now();
  const std::string message = error_of([&] {
    run_tcp(GetParam(), [&](Communicator& comm) {
      if (comm.rank() == 1) {
        comm.barrier();
        comm.abort("the disk is on fire");
        comm.barrier();
      }
      try {
        comm.barrier();  // which the reason may overtake
        comm.all_reduce(at::zeros({100000}))->wait();
      } catch (const CommError& error) {
        told += std::string(error.what()).find("the disk is on fire") != std::string::npos ? 1 : 0;
        throw;
      }
    });
  });
  EXPECT_THAT(message, HasSubstr("the disk is on fire"));
  EXPECT_EQ(told, GetParam().world_size() - 1);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

INSTANTIATE_TEST_SUITE_P(Worlds, TcpFaultTest,
                         ::testing::Values(TcpWorld{2, 1}, TcpWorld{4, 1}, TcpWorld{2, 2}),
                         [](const auto& instance) {
                           return std::to_string(instance.param.machines) + "x" +
                                  std::to_string(instance.param.ranks_per_machine);
                         });

TEST(TcpFaultTest, APeerThatIsGoneIsNoticedBeforeTheTimeout) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string message = error_of([] {
    testing::run_ranks(
        3, [](Communicator&) {}, std::chrono::seconds(60),
        [](const CommunicatorPtr& host) -> CommunicatorPtr {
          TcpOptions options;
          options.machine = std::to_string(host->rank());
          const auto comm = std::make_shared<RingCommunicator>(
              "tcp", RingCommunicator::MakeRunner([&] { return make_tcp_runner(host, options); }),
              std::chrono::seconds(60), ReductionOrder::kPytorch);
          comm->barrier();
          if (host->rank() == 2) return host;  // without a word
          comm->all_reduce(at::zeros({100000}), ReduceOp::kSum)->wait();
          return host;
        });
  });
  EXPECT_THAT(message, AllOf(HasSubstr("is in all_reduce #1 (Float[100000])"), HasSubstr("rank 2 is gone")));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(TcpFaultTest, RanksThatAreNotInBlocksGoFlatAndThatIsSaid) {
  std::mutex mutex;
  std::vector<std::string> warnings;
  testing::run_ranks(
      4, [](Communicator& comm) { testing::check_all_reduce(comm, 1000, at::kFloat, at::kCPU); },
      std::chrono::seconds(60),
      [&](const CommunicatorPtr& host) -> CommunicatorPtr {
        TcpOptions options;
        options.machine = std::to_string(host->rank() % 2);
        options.warn = [&](const std::string& line) {
          const std::scoped_lock lock(mutex);
          warnings.push_back(line);
        };
        return std::make_shared<RingCommunicator>(
            "tcp", RingCommunicator::MakeRunner([&] { return make_tcp_runner(host, options); }),
            std::chrono::seconds(60), ReductionOrder::kPytorch);
      });
  ASSERT_EQ(warnings.size(), 1U);
  EXPECT_THAT(warnings.front(), HasSubstr("rank 1 is not on the machine of rank 0"));
}

TEST(TcpFaultTest, AnInterfaceThatIsNotThereIsTheUsersError) {
  std::atomic<int> told = 0;
  testing::run_ranks(
      2, [](Communicator&) {}, std::chrono::seconds(20),
      [&](const CommunicatorPtr& host) -> CommunicatorPtr {
        TcpOptions options;
        options.interfaces = "no-such";
        try {
          make_tcp_runner(host, options);
        } catch (const std::invalid_argument& error) {
          told += std::string(error.what()).starts_with("rank 0: LOCKSTEP_SOCKET_IFNAME") ? 1 : 0;
        }
        return host;
      });
  EXPECT_EQ(told, 2);
}

}  // namespace
}  // namespace lockstep
