#include "trainer/cost/adaptive_ranks.h"

#include <gtest/gtest.h>

#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

RanksAdvisor advisor(const std::string& rules, int world_size, int logical_world_size = 0) {
  return {parse_adaptive_ranks(rules), world_size, logical_world_size == 0 ? world_size : logical_world_size};
}

// `loss(step)` of the steps from `first` to `last`.
template <class Loss>
void observe(RanksAdvisor& advisor, std::int64_t first, std::int64_t last, Loss loss) {
  for (std::int64_t step = first; step <= last; ++step) advisor.observe(step, loss(step));
}

TEST(ParseAdaptiveRanksTest, TakesEachCondition) {
  const auto rules = parse_adaptive_ranks("loss<0.5:4,plateau(500,0.01):2,loss<80%:1");
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_EQ(rules[0].kind, RanksRule::Kind::kBelow);
  EXPECT_EQ(rules[0].value, 0.5);
  EXPECT_EQ(rules[0].ranks, 4);
  EXPECT_EQ(rules[1].kind, RanksRule::Kind::kPlateau);
  EXPECT_EQ(rules[1].window, 500);
  EXPECT_EQ(rules[1].value, 0.01);
  EXPECT_EQ(rules[1].ranks, 2);
  EXPECT_EQ(rules[1].text, "plateau(500,0.01)");
  EXPECT_EQ(rules[2].kind, RanksRule::Kind::kFallen);
  EXPECT_EQ(rules[2].value, 0.8);
}

TEST(ParseAdaptiveRanksTest, NamesWhatIsWrong) {
  for (const std::string wrong : {"",
                                  "2",
                                  "loss<0.5",
                                  "loss<0.5:",
                                  "loss<0.5:0",
                                  "loss<0.5:2x",
                                  "loss<:2",
                                  "loss<x:2",
                                  "loss<-1:2",
                                  "loss<0:2",
                                  "loss<nan:2",
                                  "loss<1e999:2",
                                  "loss<101%:2",
                                  "loss>0.5:2",
                                  "plateau(0,0.1):2",
                                  "plateau(10):2",
                                  "plateau(10,1):2",
                                  "plateau(10,0.1:2",
                                  "plateau(10,0.1,3):2",
                                  "plateau(,0.1):2",
                                  "acc<1:2",
                                  "loss<0.5:99999999999"}) {
    expect_refused<std::invalid_argument>([&] { parse_adaptive_ranks(wrong); },
                                          {"\"" + wrong + "\" is no rule", "plateau(500,0.01):1"});
  }
  // The second of two rules, and an empty one at the end.
  expect_refused<std::invalid_argument>([] { parse_adaptive_ranks("loss<0.5:2,loss<x:1"); },
                                        {"\"loss<x:1\""});
  expect_refused<std::invalid_argument>([] { parse_adaptive_ranks("loss<0.5:2,"); }, {"\"\" is no rule"});
}

TEST(RanksAdvisorTest, WaitsForTheMeanOf50Steps) {
  RanksAdvisor advice = advisor("loss<0.5:2", 4);
  // Half the steps are far below, but the mean is 0.55; then it is 0.45.
  observe(advice, 1, 50, [](std::int64_t step) { return step % 2 == 0 ? 0.1 : 1.0; });
  EXPECT_EQ(advice.ranks(), 0);
  observe(advice, 51, 99, [](std::int64_t) { return 0.45; });
  EXPECT_EQ(advice.ranks(), 0);
  advice.observe(100, 0.45);
  EXPECT_EQ(advice.ranks(), 2);
  EXPECT_EQ(advice.condition(), "loss<0.5");
}

TEST(RanksAdvisorTest, StepsWhoseLossNobodyReadAreStepsToo) {
  RanksAdvisor advice = advisor("loss<0.5:2", 4);
  advice.observe(20, 0.4);
  advice.observe(40, 0.4);
  EXPECT_EQ(advice.ranks(), 0);
  advice.observe(69, 0.4);  // the fiftieth from 20 on
  EXPECT_EQ(advice.ranks(), 2);
}

TEST(RanksAdvisorTest, AShareIsOfTheFirstMean) {
  RanksAdvisor advice = advisor("loss<80%:1", 2);
  observe(advice, 1001, 1050, [](std::int64_t) { return 2.0; });
  observe(advice, 1051, 1100, [](std::int64_t) { return 1.61; });
  EXPECT_EQ(advice.ranks(), 0);
  observe(advice, 1101, 1150, [](std::int64_t) { return 1.59; });
  EXPECT_EQ(advice.ranks(), 1);
}

TEST(RanksAdvisorTest, APlateauIsTooSmallAFall) {
  RanksAdvisor advice = advisor("plateau(10,0.01):1", 2);
  observe(advice, 1, 10, [](std::int64_t) { return 1.0; });
  observe(advice, 11, 20, [](std::int64_t) { return 0.98; });  // by 2 %
  EXPECT_EQ(advice.ranks(), 0);
  observe(advice, 21, 30, [](std::int64_t) { return 0.975; });  // by 0.5 %
  EXPECT_EQ(advice.ranks(), 1);
}

TEST(RanksAdvisorTest, ALossThatRisesIsFlat) {
  RanksAdvisor advice = advisor("plateau(10,0):1", 2);
  observe(advice, 1, 30, [](std::int64_t step) { return static_cast<double>(step); });
  EXPECT_EQ(advice.ranks(), 1);
}

TEST(RanksAdvisorTest, TheFewestRanksCountAndTheLargestDivisorThatFits) {
  RanksAdvisor advice = advisor("loss<9:5,loss<5:4,loss<0.5:1", 12, 12);
  observe(advice, 1, 50, [](std::int64_t) { return 1.0; });
  EXPECT_EQ(advice.ranks(), 4);  // both of the first two allow 4 of 12
  RanksAdvisor odd = advisor("loss<9:5", 6, 6);
  observe(odd, 1, 50, [](std::int64_t) { return 1.0; });
  EXPECT_EQ(odd.ranks(), 3);
  RanksAdvisor few = advisor("loss<9:4", 4, 8);  // has as few already
  observe(few, 1, 50, [](std::int64_t) { return 1.0; });
  EXPECT_EQ(few.ranks(), 0);
}

}  // namespace
}  // namespace lockstep
