#include "comm/thread_communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "comm/errors.h"
#include "comm/fold.h"
#include "comm/sum_rows.h"
#include "tests/comm/collective_cases.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

class ThreadCommunicatorTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadCommunicatorTest, EveryCollectiveIsExact) {
  testing::run_ranks(GetParam(), [](Communicator& comm) { testing::check_all_collectives(comm); });
}

TEST_P(ThreadCommunicatorTest, SumsInRingOrder) {
  const int world_size = GetParam();
  for (const std::int64_t count : {1, 5, 1001, 700001}) {
    std::vector<at::Tensor> inputs;
    std::vector<const void*> pointers;
    at::manual_seed(17);
    for (int rank = 0; rank < world_size; ++rank) {
      inputs.push_back(at::randn({count}));
      pointers.push_back(inputs.back().const_data_ptr());
    }
    at::Tensor expected = at::empty({count});
    void* const into = expected.data_ptr();
    fold_ranks({&into, 1}, pointers, 0, count, ring_chunks(count, 4, world_size), {});
    testing::run_ranks(world_size, [&](Communicator& comm) {
      const at::Tensor sum = inputs[static_cast<std::size_t>(comm.rank())].clone();
      comm.all_reduce(sum)->wait();
      EXPECT_TRUE(at::equal(sum, expected)) << count << " floats on rank " << comm.rank();
    });
  }
}

// Rows of fewer ranks are the tensors of more ranks.
TEST_P(ThreadCommunicatorTest, SumsOfRowsDoNotDependOnWhichRankHasThem) {
  const int world_size = GetParam();
  const std::int64_t rows_per_rank = 3;
  for (const ReductionOrder order : {ReductionOrder::kPytorch, ReductionOrder::kTree}) {
    for (const std::int64_t count : {1, 17, 70001}) {
      at::manual_seed(19);
      const at::Tensor all = at::randn({world_size * rows_per_rank, count});
      std::vector<const void*> pointers;
      for (std::int64_t row = 0; row < all.size(0); ++row) pointers.push_back(all[row].const_data_ptr());
      const at::Tensor expected = at::empty({count});
      void* const into = expected.data_ptr();
      fold_ranks({&into, 1}, pointers, 0, count, ring_chunks(count, 4, static_cast<int>(all.size(0))),
                 {.order = order});
      const at::Tensor by_operators = at::empty({count});
      sum_rows_by_operators(by_operators, all, order);
      EXPECT_TRUE(at::equal(by_operators, expected)) << count;
      testing::run_ranks(world_size, [&](Communicator& comm) {
        const at::Tensor rows = all.narrow(0, comm.rank() * rows_per_rank, rows_per_rank).clone();
        comm.all_reduce_rows(rows[1], rows, order)->wait();
        EXPECT_TRUE(at::equal(rows[1], expected)) << count << " floats on rank " << comm.rank();
      });
    }
  }
}

TEST(RowsTest, RefusesWhatAreNoRows) {
  testing::run_ranks(1, [](Communicator& comm) {
    const auto all_reduce = [&](const at::Tensor& output, const at::Tensor& rows) {
      comm.all_reduce_rows(output, rows, ReductionOrder::kTree);
    };
    EXPECT_THROW(all_reduce(at::zeros({3}), at::zeros({3})), std::invalid_argument);
    EXPECT_THROW(all_reduce(at::zeros({3}), at::zeros({2, 4})), std::invalid_argument);
    EXPECT_THROW(all_reduce(at::zeros({3}), at::zeros({0, 3})), std::invalid_argument);
    EXPECT_THROW(all_reduce(at::zeros({3}), at::zeros({2, 3}, at::kDouble)), std::invalid_argument);
    EXPECT_THROW(all_reduce(at::zeros({3}), at::zeros({3, 2}).t()), std::invalid_argument);
  });
}

// The tree does not depend on where an element lies: a tensor's sum is its halves' sums.
TEST_P(ThreadCommunicatorTest, TreeOrderIsTheSameForEveryElement) {
  const int world_size = GetParam();
  const auto communicators =
      make_thread_communicators(world_size, std::chrono::seconds(20), ReductionOrder::kTree);
  constexpr std::int64_t kCount = 700001;
  at::manual_seed(18);
  std::vector<at::Tensor> inputs;
  std::vector<const void*> pointers;
  for (int rank = 0; rank < world_size; ++rank) {
    inputs.push_back(at::randn({kCount}));
    pointers.push_back(inputs.back().const_data_ptr());
  }
  const at::Tensor expected = at::empty({kCount});
  void* const into = expected.data_ptr();
  fold_inputs({&into, 1}, pointers, 0, kCount, {.order = ReductionOrder::kTree});
  std::vector<std::thread> threads;
  for (const CommunicatorPtr& comm : communicators) {
    threads.emplace_back([&, comm] {
      testing::check_all_collectives(*comm);
      const at::Tensor whole = inputs[static_cast<std::size_t>(comm->rank())].clone();
      const at::Tensor part = whole.narrow(0, 0, 12345).clone();
      comm->all_reduce(whole)->wait();
      comm->all_reduce(part)->wait();
      EXPECT_TRUE(at::equal(whole, expected));
      EXPECT_TRUE(at::equal(part, expected.narrow(0, 0, 12345)));
      const std::int64_t sent = comm->bytes_sent();
      const at::Tensor sized = at::ones({1000 * comm->world_size()});
      comm->all_reduce(sized)->wait();
      // What a ring sends: (W - 1) / W of the tensor twice. Chunks round up, so the last rank's is shorter.
      EXPECT_NEAR(static_cast<double>(comm->bytes_sent() - sent), 2.0 * 4000 * (comm->world_size() - 1),
                  4000.0 * 0.05 * comm->world_size());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

INSTANTIATE_TEST_SUITE_P(WorldSizes, ThreadCommunicatorTest,
                         ::testing::ValuesIn(testing::world_sizes({1, 2, 3, 4, 5, 8})));

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no CommError";
}

TEST(ThreadCommunicatorFaultTest, MismatchedCollectivesAreNamed) {
  const std::string message = error_of([] {
    testing::run_ranks(2, [](Communicator& comm) {
      if (comm.rank() == 0) {
        comm.all_reduce(at::zeros({3}))->wait();
      } else {
        comm.all_reduce(at::zeros({4}))->wait();
      }
    });
  });
  EXPECT_THAT(message, HasSubstr("do not match"));
  EXPECT_THAT(message, HasSubstr("Float[3]"));
  EXPECT_THAT(message, HasSubstr("Float[4]"));
}

TEST(ThreadCommunicatorFaultTest, AMissingRankIsATimeoutThatNamesTheCollective) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string message = error_of([] {
    testing::run_ranks(
        2,
        [](Communicator& comm) {
          if (comm.rank() == 0) comm.all_reduce(at::zeros({3}))->wait();
        },
        std::chrono::milliseconds(200));
  });
  EXPECT_THAT(message, HasSubstr("rank 0: all_reduce #0 (Float[3]) timed out"));
  EXPECT_THAT(message, HasSubstr("waiting for rank 1"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(ThreadCommunicatorFaultTest, AnAbortEndsEveryRank) {
  std::atomic<int> failed = 0;
  EXPECT_THROW(testing::run_ranks(3,
                                  [&](Communicator& comm) {
                                    if (comm.rank() == 2) {
                                      comm.abort("no more");
                                      return;
                                    }
                                    try {
                                      comm.barrier();
                                    } catch (const CommError&) {
                                      ++failed;
                                      throw;
                                    }
                                  }),
               CommError);
  EXPECT_EQ(failed, 2);
}

TEST(ThreadCommunicatorFaultTest, AfterAFailureNothingSucceeds) {
  testing::run_ranks(2, [](Communicator& comm) {
    comm.abort("first reason");
    EXPECT_THAT(error_of([&] { comm.all_reduce(at::ones({1}))->wait(); }), HasSubstr("first reason"));
    EXPECT_THAT(error_of([&] { comm.barrier(); }), HasSubstr("first reason"));
  });
}

TEST(ThreadCommunicatorFaultTest, RefusesBadTensorsOnTheSpot) {
  testing::run_ranks(2, [](Communicator& comm) {
    EXPECT_THROW(comm.all_reduce(at::zeros({2, 3}).t()), std::invalid_argument);
    EXPECT_THROW(comm.all_gather(at::zeros({3}), at::zeros({2})), std::invalid_argument);
    EXPECT_THROW(comm.broadcast(at::zeros({3}), 2), std::invalid_argument);
    EXPECT_THROW(comm.send_receive(at::zeros({3}), at::zeros({2})), std::invalid_argument);
    const at::Tensor whole = at::zeros({3});
    EXPECT_THROW(comm.send_receive(whole.narrow(0, 0, 2), whole.narrow(0, 1, 2)), std::invalid_argument);
    comm.barrier();  // and goes on
  });
}

TEST(ThreadCommunicatorTest, CountsWhatItSends) {
  testing::run_ranks(4, [](Communicator& comm) {
    const auto before = comm.bytes_sent();
    comm.all_reduce(at::zeros({1 << 20}))->wait();
    comm.shutdown();  // bytes are counted when the collective has ended on this rank
    EXPECT_EQ(comm.bytes_sent() - before, 2 * 3 * (4 << 20) / 4);  // 2 (W-1)/W of the tensor
  });
}

TEST(ThreadCommunicatorTest, NeighboursAreSentToOnceWhateverTheSize) {
  testing::run_ranks(3, [](Communicator& comm) {
    const auto before = comm.bytes_sent();
    comm.send_receive(at::empty({1 << 20}), at::zeros({1 << 20}))->wait();
    comm.shutdown();
    EXPECT_EQ(comm.bytes_sent() - before, 4 << 20);
  });
}

}  // namespace
}  // namespace lockstep
