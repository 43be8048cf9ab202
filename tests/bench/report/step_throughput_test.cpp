#include "bench/report/step_throughput.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "bench/report/step_report.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

// A rank has 8 samples of 100 tokens and 4 GFLOP a step; its peak is 10 GFLOP/s.
StepWork work() {
  return {8, 100, 4e9, 10e9, "measured"};
}

TEST(StepThroughput, SamplesAreAllRanksAndOperationsOnes) {
  const StepThroughput two = throughput_of({2.0, 1.0, 4.0}, {}, work(), 2);
  EXPECT_DOUBLE_EQ(two.samples_per_s, 8);  // 16 in 2 s
  EXPECT_DOUBLE_EQ(two.tokens_per_s, 800);
  EXPECT_DOUBLE_EQ(two.flop_per_s, 2e9);
  EXPECT_DOUBLE_EQ(two.peak_share, 0.2);
  EXPECT_FALSE(two.efficiency);
}

TEST(StepThroughput, EfficiencyIsTheTimeAloneOverThisOneRoundByRound) {
  const StepThroughput two = throughput_of({2.0, 1.0, 4.0}, {1.0, 0.9, 3.0}, work(), 2);
  ASSERT_TRUE(two.efficiency);
  EXPECT_DOUBLE_EQ(two.efficiency->min, 0.5);
  EXPECT_DOUBLE_EQ(two.efficiency->median, 0.75);
  EXPECT_DOUBLE_EQ(two.efficiency->max, 0.9);
}

TEST(StepThroughput, StandsUnderTheTableAndInTheJson) {
  const StepTable table = make_step_table("toy", 1, {kAlone, kAveraged}, {{1.0, 1.0}, {2.0, 2.0}}, work(), 2);
  EXPECT_FALSE(table.rows[0].throughput->efficiency);
  EXPECT_DOUBLE_EQ(table.rows[0].throughput->samples_per_s, 8);  // of the one rank
  EXPECT_FALSE(table.rows[0].over_local || table.rows[1].over_local);
  const std::string text = format_table(table);
  EXPECT_THAT(text, HasSubstr("0.500 (0.50..0.50)"));
  EXPECT_THAT(text, HasSubstr("4.000 GFLOP a step and rank; a rank's peak is 10.0 GFLOP/s (measured)"));
  const auto json = nlohmann::json::parse(step_json({}, {table}))["workloads"][0];
  EXPECT_DOUBLE_EQ(json["flop_per_step_and_rank"], 4e9);
  EXPECT_EQ(json["peak_source"], "measured");
  EXPECT_DOUBLE_EQ(json["contenders"][1]["tokens_per_s"], 800);
  EXPECT_DOUBLE_EQ(json["contenders"][1]["scaling_efficiency"]["median"], 0.5);
  StepWork pictures = work();
  pictures.tokens_per_sample = 0;
  const StepTable other = make_step_table("toy", 1, {kAveraged}, {{1.0}}, pictures, 1);
  EXPECT_FALSE(nlohmann::json::parse(step_json({}, {other}))["workloads"][0]["contenders"][0].contains(
      "tokens_per_s"));
}

}  // namespace
}  // namespace lockstep
