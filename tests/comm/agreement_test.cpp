#include "comm/agreement.h"

#include <gtest/gtest.h>

#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

std::vector<std::string> ask(int world_size, const std::function<KeyValues(int rank)>& values) {
  std::vector<std::string> answers(static_cast<std::size_t>(world_size));
  testing::run_ranks(world_size, [&](Communicator& comm) {
    answers[static_cast<std::size_t>(comm.rank())] = find_disagreement(values(comm.rank()), comm);
  });
  return answers;
}

TEST(FindDisagreementTest, IsEmptyWhereAllAgree) {
  for (const int world_size : {1, 2, 5}) {
    for (const std::string& answer : ask(world_size, [](int) { return KeyValues{{"a", "1"}, {"b", ""}}; })) {
      EXPECT_EQ(answer, "");
    }
  }
}

TEST(FindDisagreementTest, NamesTheLowestRankAndTheFirstDifferenceEverywhere) {
  const auto answers = ask(4, [](int rank) {
    return KeyValues{
        {"--seed", "7"}, {"--lr", rank >= 2 ? "0.2" : "0.1"}, {"--model", rank == 3 ? "mlp" : "convnet"}};
  });
  for (const std::string& answer : answers) EXPECT_EQ(answer, "rank 2 has --lr 0.2, rank 0 has 0.1");
}

TEST(FindDisagreementTest, SeesMissingAndAdditionalEntries) {
  const auto fewer = ask(2, [](int rank) {
    return rank == 0 ? KeyValues{{"a", "1"}, {"b", "2"}} : KeyValues{{"a", "1"}};
  });
  EXPECT_EQ(fewer[0], "rank 1 has no b, rank 0 has 2");
  const auto more = ask(2, [](int rank) {
    return rank == 1 ? KeyValues{{"a", "1"}, {"b", "2"}} : KeyValues{{"a", "1"}};
  });
  EXPECT_EQ(more[1], "rank 1 has b 2, rank 0 has none");
}

TEST(FindDisagreementTest, IsNotFooledByContentThatLooksLikeItsOwnFormat) {
  const auto answers = ask(2, [](int rank) {
    return KeyValues{{"a", rank == 0 ? "1:x" : "1:y"}, {"3:b:", "2\n"}};
  });
  EXPECT_EQ(answers[0], "rank 1 has a 1:y, rank 0 has 1:x");
}

}  // namespace
}  // namespace lockstep
