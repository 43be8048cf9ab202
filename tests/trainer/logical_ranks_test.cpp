#include "trainer/logical_ranks.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t kSeed = 40;

// The third and fourth number that rank `rank` draws.
std::vector<double> drawn_later(int rank) {
  auto generator = at::detail::createCPUGenerator(kSeed + static_cast<std::uint64_t>(rank));
  at::rand({2}, generator);
  const at::Tensor numbers = at::rand({2}, generator);
  return {numbers[0].item<double>(), numbers[1].item<double>()};
}

std::vector<double> draw_two() {
  const at::Tensor numbers = at::rand({2});
  return {numbers[0].item<double>(), numbers[1].item<double>()};
}

// One process, since the default generator belongs to the process.
TEST(LogicalRanksTest, EachDrawsItsOwnNumbersWhateverTheTurns) {
  testing::run_ranks(1, [](Communicator& comm) {
    LogicalRanks ranks(3, comm, at::kCPU);
    EXPECT_EQ(ranks.count(), 3);
    ranks.seed(kSeed);
    for (const int index : {0, 2, 1}) {
      ranks.enter(index);
      draw_two();
    }
    for (const int index : {1, 0, 2}) {
      ranks.enter(index);
      EXPECT_EQ(draw_two(), drawn_later(index)) << index;
    }
  });
}

TEST(LogicalRanksTest, StatesGoOnWhereTheyWere) {
  testing::run_ranks(1, [](Communicator& comm) {
    LogicalRanks ranks(3, comm, at::kCPU);
    ranks.seed(kSeed);
    for (const int index : {0, 1, 2}) {
      ranks.enter(index);
      draw_two();
    }
    const std::vector<at::Tensor> states = ranks.gather_random_states(comm);
    ASSERT_EQ(states.size(), 3U);
    LogicalRanks others(3, comm, at::kCPU);
    others.set_random_states(states);
    for (const int index : {0, 1, 2}) {
      others.enter(index);
      EXPECT_EQ(draw_two(), drawn_later(index)) << index;
    }
    LogicalRanks fewer(2, comm, at::kCPU);
    EXPECT_THAT([&] { fewer.set_random_states(states); },
                ::testing::ThrowsMessage<DataError>(HasSubstr("random states of 3 ranks, not of 2")));
  });
}

TEST(LogicalRanksTest, ProcessesHaveBlocksOfThem) {
  testing::run_ranks(2, [](Communicator& comm) {
    const LogicalRanks four(4, comm, at::kCPU);
    EXPECT_EQ(four.world_size(), 4);
    EXPECT_EQ(four.count(), 2);
    EXPECT_EQ(four.first(), 2 * comm.rank());
    const LogicalRanks none(0, comm, at::kCPU);
    EXPECT_EQ(none.world_size(), 2);
    EXPECT_EQ(none.count(), 1);
    EXPECT_EQ(none.first(), comm.rank());
    EXPECT_THAT([&] { LogicalRanks(9, comm, at::kCPU); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    HasSubstr("--logical-world-size 9 cannot be shared by 2 ranks; start 1, 3, 9")));
  });
}

TEST(LogicalRanksTest, OnesOwnStatesAreGoneBackTo) {
  testing::run_ranks(1, [](Communicator& comm) {
    LogicalRanks ranks(3, comm, at::kCPU);
    ranks.seed(kSeed);
    for (const int index : {0, 1, 2}) {
      ranks.enter(index);
      draw_two();
    }
    const auto states = ranks.own_random_states();
    for (const int index : {1, 0}) {
      ranks.enter(index);
      draw_two();
    }
    ranks.set_own_random_states(states);
    for (const int index : {1, 0, 2}) {
      ranks.enter(index);
      EXPECT_EQ(draw_two(), drawn_later(index)) << index;
    }
  });
}

}  // namespace
}  // namespace lockstep
