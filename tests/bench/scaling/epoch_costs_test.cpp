#include "bench/scaling/epoch_costs.h"

#include <gtest/gtest.h>

#include <chrono>

namespace lockstep {
namespace {

// A step of 10 ms with one gradient of 1 MB, ready when the backward pass ends; no latency, 1 ns a byte.
EpochQuestion a_question() {
  EpochQuestion question;
  question.profile = {"toy", 10, 2e-3, 6e-3, 2e-3, {{6e-3, 1'000'000}}};
  question.hop = {0.0, 1e-9};
  question.samples_per_epoch = 1000;
  question.most_ranks = 4;
  question.price = {3.6, "USD"};
  return question;
}

TEST(EpochCosts, FollowFromTheStepAndThePrice) {
  const auto rows = epoch_costs(a_question());
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0].ranks, 1);
  EXPECT_NEAR(rows[0].step_s, 0.010, 1e-12);
  EXPECT_NEAR(rows[0].epoch_s, 1.0, 1e-9);   // 100 steps
  EXPECT_NEAR(*rows[0].cost, 0.001, 1e-12);  // a second at 3.6 an hour
  // Two ranks: 2 * 1/2 MB take 1 ms more; 50 steps; both are paid for.
  EXPECT_EQ(rows[1].ranks, 2);
  EXPECT_NEAR(rows[1].step_s, 0.011, 1e-12);
  EXPECT_NEAR(rows[1].exposed_s, 0.001, 1e-12);
  EXPECT_NEAR(rows[1].efficiency, 10.0 / 11.0, 1e-9);
  EXPECT_NEAR(rows[1].epoch_s, 0.55, 1e-9);
  EXPECT_NEAR(*rows[1].cost, 0.0011, 1e-12);
  EXPECT_NEAR(rows[1].samples_per_s, 20 / 0.011, 1e-6);
  EXPECT_NEAR(rows[2].step_s, 0.0115, 1e-12);  // 2 * 3/4 MB
}

TEST(EpochCosts, AnEpochsLastStepCountsWhole) {
  EpochQuestion question = a_question();
  question.samples_per_epoch = 1001;
  EXPECT_NEAR(epoch_costs(question)[0].epoch_s, 1.01, 1e-9);
}

TEST(EpochCosts, WithoutAPriceThereIsNoCost) {
  EpochQuestion question = a_question();
  question.price = {};
  for (const EpochRow& row : epoch_costs(question)) EXPECT_FALSE(row.cost);
}

TEST(EpochCosts, WholeHostsCanSumWithinFirst) {
  EpochQuestion question = a_question();
  question.most_ranks = 48;
  question.within = LinkModel{0.0, 0.0};
  question.ranks_per_host = 8;
  std::vector<std::pair<int, std::string>> seen;
  for (const EpochRow& row : epoch_costs(question)) seen.emplace_back(row.ranks, row.algorithm);
  const std::vector<std::pair<int, std::string>> expected = {
      {1, "ring"},          {2, "ring"},  {4, "ring"},          {8, "ring"},  {16, "ring"},
      {16, "hierarchical"}, {32, "ring"}, {32, "hierarchical"}, {48, "ring"}, {48, "hierarchical"}};
  EXPECT_EQ(seen, expected);
}

TEST(EpochCosts, ARankOfOneHostTakesWhatItsMemoryTakes) {
  EpochQuestion question = a_question();
  question.exchange = Exchange::kAfterBackward;
  question.within = LinkModel{1e-3, 1e-9};
  const auto rows = epoch_costs(question);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_NEAR(rows[0].step_s, 0.010, 1e-12);
  EXPECT_NEAR(rows[1].step_s, 0.012, 1e-12);  // 1 ms, and 1 MB
  EXPECT_NEAR(rows[2].step_s, 0.012, 1e-12);
  EXPECT_EQ(rows[2].algorithm, "shared memory");
}

TEST(EpochCosts, AThousandRanksAreReckonedAtOnce) {
  EpochQuestion question = a_question();
  question.most_ranks = 1024;
  question.within = LinkModel{1e-6, 1e-10};
  question.profile.arrivals.clear();
  for (int i = 0; i < 300; ++i) question.profile.arrivals.push_back({i * 2e-5, 400'000});
  const auto begin = std::chrono::steady_clock::now();
  const auto rows = epoch_costs(question);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_EQ(rows.back().ranks, 1024);
}

}  // namespace
}  // namespace lockstep
