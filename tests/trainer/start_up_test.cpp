#include "trainer/start_up.h"

#include <gtest/gtest.h>

#include <atomic>

#include "sampler/data_error.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

// What AgreedStop says on each rank if `body` runs on three; "went on" where it did not throw.
std::vector<std::string> outcomes(const std::function<void(int rank)>& body) {
  std::vector<std::string> said(3);
  testing::run_ranks(3, [&](Communicator& comm) {
    auto& mine = said[static_cast<std::size_t>(comm.rank())];
    try {
      together(comm, [&] { body(comm.rank()); });
      mine = "went on";
    } catch (const AgreedStop& stop) {
      mine = std::to_string(static_cast<int>(stop.code())) + " " + stop.what();
    }
  });
  return said;
}

TEST(TogetherTest, GoesOnWhereAllAreFine) {
  std::atomic<int> calls = 0;
  const auto said = outcomes([&](int) { ++calls; });
  EXPECT_EQ(said, std::vector<std::string>(3, "went on"));
  EXPECT_EQ(calls, 3);
}

TEST(TogetherTest, OneRanksErrorIsEveryRanks) {
  const auto said = outcomes([](int rank) {
    if (rank == 1) throw DataError("file x is cut short");
  });
  EXPECT_EQ(said, std::vector<std::string>(3, "3 rank 1: file x is cut short"));
}

TEST(TogetherTest, AnErrorThatAllHaveNamesNoRank) {
  const auto said = outcomes([](int) { throw std::invalid_argument("no such model"); });
  EXPECT_EQ(said, std::vector<std::string>(3, "2 no such model"));
}

TEST(TogetherTest, TheLowestRankIsHeard) {
  const auto said = outcomes([](int rank) {
    if (rank == 1) throw DataError("one");
    if (rank == 2) throw std::invalid_argument("two");
  });
  EXPECT_EQ(said, std::vector<std::string>(3, "3 rank 1: one"));
}

}  // namespace
}  // namespace lockstep
