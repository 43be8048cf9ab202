#include "bench/report/step_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

using testing::HasSubstr;

StepTable table() {
  return make_step_table(
      "toy", 2, {kLocal, kAveraged, kC10d, kPytorchLocal, kPytorchDdp},
      {{1.0, 2.0, 1.0}, {1.5, 2.0, 2.0}, {3.0, 6.0, 4.0}, {2.0, 3.0, 1.5}, {6.0, 6.0, 6.0}});
}

TEST(StepReport, RatiosAreToTheOwnLocalStepOfTheSameRound) {
  const StepTable toy = table();
  EXPECT_FALSE(toy.rows[0].over_local);
  EXPECT_DOUBLE_EQ(toy.rows[1].over_local->min, 1.0);
  EXPECT_DOUBLE_EQ(toy.rows[1].over_local->median, 1.5);
  EXPECT_DOUBLE_EQ(toy.rows[1].over_local->max, 2.0);
  EXPECT_DOUBLE_EQ(toy.rows[2].over_local->median, 3.0);
  EXPECT_FALSE(toy.rows[3].over_local);
  EXPECT_DOUBLE_EQ(toy.rows[4].over_local->median, 3.0);  // 3, 2 and 4 times PyTorch's own local step
}

TEST(StepReport, WholeStepsAreComparedWithWholeSteps) {
  const StepTable toy = table();
  EXPECT_DOUBLE_EQ(toy.rows[0].pytorch_over->median, 1.5);  // local against local: 2, 1.5, 1.5
  EXPECT_DOUBLE_EQ(toy.rows[1].pytorch_over->median, 3.0);  // DDP against ours: 4, 3, 3
  EXPECT_DOUBLE_EQ(toy.rows[1].c10d_over->median, 2.0);     // 2, 3, 2
  EXPECT_FALSE(toy.rows[4].pytorch_over);
}

TEST(StepReport, WhatWasNotMeasuredIsNotShown) {
  const StepTable toy = make_step_table("toy", 1, {kAveraged}, {{1.0, 3.0}});
  EXPECT_FALSE(toy.rows[0].over_local || toy.rows[0].pytorch_over || toy.rows[0].c10d_over);
  const auto json = nlohmann::json::parse(step_json({}, {toy}))["workloads"][0];
  EXPECT_EQ(json["contenders"][0].size(), 2u);  // its name and its time
  EXPECT_DOUBLE_EQ(json["contenders"][0]["step_ms"]["median"], 2000.0);
}

TEST(StepReport, ThePartsOfAStepStandUnderTheTable) {
  StepTable toy = make_step_table("toy", 1, {kAveraged}, {{0.01}});
  StepTimeline timeline;
  timeline.forward_s = 0.002;
  timeline.backward_s = 0.005;
  timeline.exposed_s = 0.001;
  timeline.optimizer_s = 0.002;
  toy.rows[0].timeline = timeline;
  EXPECT_THAT(format_table(toy),
              HasSubstr("  a step of averaged: forward 2.00 ms (20.0 %), backward 5.00 ms (50.0 %), exposed "
                        "communication 1.00 ms (10.0 %), optimizer 2.00 ms (20.0 %)\n"));
}

TEST(StepReport, TheTableAndTheJsonSayHowMuchWasMeasured) {
  EXPECT_THAT(format_table(table()), HasSubstr("3 rounds of 2 steps\n"));
  EXPECT_THAT(format_table(table()), HasSubstr("2000.00 (1500.00..2000.00)"));
  const auto json = nlohmann::json::parse(step_json({}, {table()}))["workloads"][0];
  EXPECT_EQ(json["rounds"], 3);
  EXPECT_EQ(json["steps"], 2);
  EXPECT_DOUBLE_EQ(json["contenders"][1]["pytorch_ddp_over_this"]["median"], 3.0);
  EXPECT_DOUBLE_EQ(json["contenders"][0]["pytorch_local_over_this"]["median"], 1.5);
}

}  // namespace
}  // namespace lockstep
