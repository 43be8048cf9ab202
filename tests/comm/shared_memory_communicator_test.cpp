// Ranks in threads of one process: each makes a segment of its own and maps the others', as processes do.
#include "comm/shared_memory_communicator.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <latch>
#include <thread>

#include "comm/errors.h"
#include "comm/fold.h"
#include "comm/shared_control.h"
#include "tests/comm/collective_cases.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr auto kTimeout = std::chrono::seconds(20);

void run_shared(int world_size, const std::function<void(SharedMemoryCommunicator&)>& body,
                ReductionOrder order = ReductionOrder::kPytorch,
                std::chrono::milliseconds timeout = kTimeout) {
  testing::run_ranks(
      world_size, [&](Communicator& comm) { body(dynamic_cast<SharedMemoryCommunicator&>(comm)); }, kTimeout,
      [&](CommunicatorPtr base) -> CommunicatorPtr {
        auto created = SharedMemoryCommunicator::create(std::move(base), order, timeout);
        if (!created.communicator) throw std::runtime_error(created.problem);
        return created.communicator;
      });
}

class SharedMemoryCommunicatorTest : public ::testing::TestWithParam<int> {};

TEST_P(SharedMemoryCommunicatorTest, EveryCollectiveIsExact) {
  run_shared(GetParam(), [](SharedMemoryCommunicator& comm) { testing::check_all_collectives(comm); });
}

TEST_P(SharedMemoryCommunicatorTest, EveryCollectiveIsExactInTreeOrder) {
  run_shared(
      GetParam(), [](SharedMemoryCommunicator& comm) { testing::check_all_collectives(comm); },
      ReductionOrder::kTree);
}

// Sizes beyond what travels in an announcement, and around a stage.
constexpr std::int64_t kSizes[] = {1, 5001, 65536, 65537, 200003};

TEST_P(SharedMemoryCommunicatorTest, SumsHaveTheSameBitsWhereverTheTensorsLie) {
  const int world_size = GetParam();
  for (const ReductionOrder order : {ReductionOrder::kPytorch, ReductionOrder::kTree}) {
    for (const std::int64_t count : kSizes) {
      at::manual_seed(17);
      std::vector<at::Tensor> inputs;
      std::vector<const void*> pointers;
      for (int rank = 0; rank < world_size; ++rank) {
        inputs.push_back(at::randn({count}));
        pointers.push_back(inputs.back().const_data_ptr());
      }
      const at::Tensor expected = at::empty({count});
      void* const into = expected.data_ptr();
      fold_ranks({&into, 1}, pointers, 0, count, ring_chunks(count, 4, world_size), {.order = order});
      run_shared(
          world_size,
          [&](SharedMemoryCommunicator& comm) {
            const at::Tensor& input = inputs[static_cast<std::size_t>(comm.rank())];
            const at::Tensor ordinary = input.clone();
            const at::Tensor shared = comm.allocate({count}, input.options());
            ASSERT_TRUE(comm.memory()->contains(shared.const_data_ptr(), count * 4));
            shared.copy_(input);
            // One in shared memory on rank 0 alone.
            const at::Tensor mixed =
                comm.rank() == 0 ? comm.allocate({count}, input.options()) : at::empty({count});
            mixed.copy_(input);
            const WorkPtr works[] = {comm.all_reduce(ordinary, ReduceOp::kSum),
                                     comm.all_reduce(shared, ReduceOp::kSum),
                                     comm.all_reduce(mixed, ReduceOp::kSum)};
            works[2]->wait();
            EXPECT_TRUE(works[0]->is_completed());
            EXPECT_TRUE(at::equal(ordinary, expected)) << count;
            EXPECT_TRUE(at::equal(shared, expected)) << count;
            EXPECT_TRUE(at::equal(mixed, expected)) << count;
          },
          order);
    }
  }
}

TEST_P(SharedMemoryCommunicatorTest, BlocksMayLieInSharedMemory) {
  run_shared(GetParam(), [](SharedMemoryCommunicator& comm) {
    const std::int64_t block = 70001;
    const int world_size = comm.world_size();
    const auto options = at::TensorOptions().dtype(at::kFloat);
    const at::Tensor input = comm.allocate({block * world_size}, options);
    input.copy_(testing::rank_values(block * world_size, comm.rank(), at::kFloat));
    const at::Tensor reduced = comm.allocate({block}, options);
    const at::Tensor gathered = comm.allocate({block * world_size}, options);
    comm.reduce_scatter(reduced, input, ReduceOp::kSum)->wait();
    comm.all_gather(gathered, reduced)->wait();
    at::Tensor expected = at::zeros({block * world_size});
    for (int r = 0; r < world_size; ++r) expected += testing::rank_values(block * world_size, r, at::kFloat);
    EXPECT_TRUE(at::equal(gathered, expected));
    comm.broadcast(input, world_size - 1)->wait();
    EXPECT_TRUE(at::equal(input, testing::rank_values(block * world_size, world_size - 1, at::kFloat)));
    reduced.copy_(testing::rank_values(block, comm.rank(), at::kFloat));
    const at::Tensor taken = comm.allocate({block}, options);
    comm.send_receive(taken, reduced)->wait();
    EXPECT_TRUE(at::equal(taken, testing::rank_values(block, (comm.rank() + 1) % world_size, at::kFloat)));
  });
}

TEST_P(SharedMemoryCommunicatorTest, ManyCollectivesMayBeUnderWayAtOnce) {
  run_shared(GetParam(), [](SharedMemoryCommunicator& comm) {
    const int world_size = comm.world_size();
    std::vector<at::Tensor> tensors;
    std::vector<WorkPtr> works;
    for (int i = 0; i < 50; ++i) {  // more than may be announced
      tensors.push_back(at::full({1 + 1000 * i}, i + comm.rank(), at::kFloat));
      works.push_back(comm.all_reduce(tensors.back(), ReduceOp::kSum));
    }
    works.back()->wait();
    for (int i = 0; i < 50; ++i) {
      const float expected = static_cast<float>(world_size * i + world_size * (world_size - 1) / 2);
      EXPECT_TRUE(
          at::equal(tensors[static_cast<std::size_t>(i)], at::full({1 + 1000 * i}, expected, at::kFloat)));
    }
  });
}

TEST_P(SharedMemoryCommunicatorTest, ExchangeShowsEverybodysMemory) {
  run_shared(GetParam(), [](SharedMemoryCommunicator& comm) {
    const at::Tensor mine = comm.allocate({1}, at::TensorOptions().dtype(at::kInt));
    mine.fill_(comm.rank() * 10);
    int sum = 0;
    comm.exchange(7, mine.data_ptr(),
                  [&](std::span<std::byte* const> places) {
                    for (const std::byte* place : places) sum += *reinterpret_cast<const int*>(place);
                  })
        ->wait();
    EXPECT_EQ(sum, 10 * comm.world_size() * (comm.world_size() - 1) / 2);
    int outside = 0;
    EXPECT_THROW(comm.exchange(7, &outside, {}), std::invalid_argument);
  });
}

INSTANTIATE_TEST_SUITE_P(WorldSizes, SharedMemoryCommunicatorTest,
                         ::testing::ValuesIn(testing::world_sizes({1, 2, 3, 4, 5, 6, 7, 8})));

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const CommError& error) {
    return error.what();
  }
  return "no CommError";
}

TEST(SharedMemoryFaultTest, MismatchedCollectivesAreNamed) {
  const std::string message = error_of([] {
    run_shared(2, [](SharedMemoryCommunicator& comm) {
      if (comm.rank() == 0) {
        comm.all_reduce(at::zeros({5}), ReduceOp::kSum)->wait();
      } else {
        comm.all_reduce(at::zeros({6}), ReduceOp::kSum)->wait();
      }
    });
  });
  EXPECT_THAT(message, HasSubstr("collectives do not match"));
  EXPECT_THAT(message, HasSubstr("Float[5]"));
  EXPECT_THAT(message, HasSubstr("Float[6]"));
}

TEST(SharedMemoryFaultTest, TimeoutSaysWhoIsMissingAndWhereTheyAre) {
  std::latch waiting(2);
  const std::string message = error_of([&] {
    run_shared(
        3,
        [&](SharedMemoryCommunicator& comm) {
          comm.all_reduce(at::zeros({3}), ReduceOp::kSum)->wait();
          if (comm.rank() == 2) {
            waiting.wait();  // until the others have given up
            return;
          }
          try {
            comm.all_reduce(at::zeros({4}), ReduceOp::kSum)->wait();
          } catch (const CommError&) {
            waiting.count_down();
            throw;
          }
        },
        ReductionOrder::kPytorch, std::chrono::seconds(4));  // of the first all_reduce, too
  });
  EXPECT_THAT(message, HasSubstr("all_reduce #1 (Float[4]) timed out after"));
  EXPECT_THAT(message, HasSubstr("waiting for rank 2, which has done all_reduce #0 (Float[3])"));
}

TEST(SharedMemoryFaultTest, AbortReachesPeersWithItsReason) {
  std::atomic<bool> heard{false};
  const std::string message = error_of([&] {
    run_shared(2, [&](SharedMemoryCommunicator& comm) {
      comm.barrier();
      if (comm.rank() == 0) {
        try {
          comm.barrier();
        } catch (...) {
          heard = true;
          throw;
        }
      } else {
        comm.abort("the disk is on fire");
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        while (!heard && std::chrono::steady_clock::now() < end)  // the segment stays until then
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
  });
  EXPECT_THAT(message, HasSubstr("rank 1 gave up: the disk is on fire"));
}

TEST(SharedMemoryFaultTest, APeerThatIsGoneIsNoticedBeforeTheTimeout) {
  const auto begin = std::chrono::steady_clock::now();
  const std::string message = error_of([] {
    const auto bases = make_thread_communicators(2, kTimeout);
    std::thread peer([&] { SharedMemoryCommunicator::create(bases[1], ReductionOrder::kPytorch, kTimeout); });
    const auto created = SharedMemoryCommunicator::create(bases[0], ReductionOrder::kPytorch, kTimeout);
    peer.join();
    created.communicator->barrier();
  });
  EXPECT_THAT(message, HasSubstr("rank 1 is gone (has come to no collective yet)"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
}

TEST(SharedMemoryFaultTest, APeerThatHasDoneItsShareMayGoWhileOthersAreAwaited) {
  testing::run_ranks(
      3,
      [](Communicator& base) {
        const CollectiveSignature signature{0, CollectiveKind::kBarrier, ReduceOp::kSum, at::kByte, 0, 0};
        const std::atomic<bool> aborted{false};
        const WaitLimit limit(kTimeout, aborted);
        auto created = SharedMemory::create(base, SharedPeers::head_bytes(), kTimeout);
        ASSERT_TRUE(created.memory) << created.problem;
        SharedPeers peers(std::move(created.memory), {0, 1, 2}, 3, aborted);
        // Long enough for rank 0 to look around for who is gone, which it does when it has slept for a while.
        if (base.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(300));
        peers.announce(signature, -1, nullptr, 0);
        if (base.rank() == 2) return;
        EXPECT_NO_THROW(peers.wait_for_all(signature, limit));
      },
      kTimeout);
}

TEST(SharedMemoryFaultTest, AnErrorStaysAndFailsWhatComesAfter) {
  run_shared(1, [](SharedMemoryCommunicator& comm) {
    comm.abort("enough");
    EXPECT_THAT(error_of([&] { comm.all_reduce(at::zeros({3}), ReduceOp::kSum)->wait(); }),
                HasSubstr("enough"));
    EXPECT_THAT(error_of([&] { comm.barrier(); }), HasSubstr("enough"));
  });
}

TEST(SharedMemoryFaultTest, MemoryThatCannotBeHadIsSaidOnAllRanks) {
  // A limit on the size of files holds for shared memory, too.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1 << 20, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  testing::run_ranks(
      2, [](Communicator&) {}, kTimeout,
      [](CommunicatorPtr base) -> CommunicatorPtr {
        const auto created = SharedMemoryCommunicator::create(base, ReductionOrder::kPytorch, kTimeout);
        EXPECT_EQ(created.communicator, nullptr);
        EXPECT_THAT(created.problem, HasSubstr("rank 0: cannot size shared memory: File too large"));
        return base;
      });
  setrlimit(RLIMIT_FSIZE, &before);
}

TEST(SharedMemoryTest, MemoryIsGivenBackAndUsedAgain) {
  run_shared(1, [](SharedMemoryCommunicator& comm) {
    SharedMemory& memory = *comm.memory();
    void* a = memory.allocate(100000);
    void* b = memory.allocate(50000);
    void* c = memory.allocate(4096);
    memory.deallocate(a);
    memory.deallocate(b);
    EXPECT_EQ(memory.allocate(140000), a);  // the two blocks have become one
    memory.deallocate(c);
    EXPECT_EQ(memory.allocate(1LL << 60), nullptr);
  });
}

}  // namespace
}  // namespace lockstep
