#include "trainer/cost/projection.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

// After three steps that warm up.
Projection warm() {
  Projection projection;
  for (int i = 0; i < 3; ++i) projection.stepped(100.0);
  return projection;
}

TEST(ProjectionTest, CountsStepsEvaluationsAndSavesApart) {
  Projection projection = warm();
  EXPECT_FALSE(projection.remaining_s({.steps = 1}).has_value());
  projection.stepped(1.0);
  projection.stepped(3.0);
  projection.expect_evaluation(7.0);
  projection.expect_save(5.0);
  EXPECT_DOUBLE_EQ(*projection.remaining_s({.steps = 10, .evaluations = 2, .saves = 1}), 20.0 + 14.0 + 5.0);
  projection.evaluated(10.0);
  projection.saved(0.5);
  EXPECT_DOUBLE_EQ(*projection.remaining_s({.steps = 10, .evaluations = 2, .saves = 1}), 20.0 + 20.0 + 0.5);
  projection.wrote(4.0);
  EXPECT_DOUBLE_EQ(projection.last_save_s(), 4.5);
}

TEST(ProjectionTest, AtLeastItTakesWhatTheQuickestStepTook) {
  Projection projection = warm();
  for (const double seconds : {4.0, 2.0, 6.0}) projection.stepped(seconds);
  projection.expect_save(5.0);
  EXPECT_DOUBLE_EQ(*projection.remaining_s({.steps = 10, .evaluations = 0, .saves = 1}), 45.0);
  EXPECT_DOUBLE_EQ(*projection.least_remaining_s({.steps = 10, .evaluations = 0, .saves = 1}), 25.0);
}

TEST(ProjectionTest, SeesThatTheMachineHasBecomeBusier) {
  Projection projection = warm();
  EXPECT_DOUBLE_EQ(projection.slowdown(), 1.0);
  for (int i = 0; i < 100; ++i) projection.stepped(1.0);
  EXPECT_NEAR(projection.slowdown(), 1.0, 1e-9);
  for (int i = 0; i < 60; ++i) projection.stepped(3.0);
  EXPECT_NEAR(projection.slowdown(), 3.0, 0.01);
  for (int i = 0; i < 60; ++i) projection.stepped(0.5);
  EXPECT_DOUBLE_EQ(projection.slowdown(), 1.0);
  projection.stepped(1e6);
  EXPECT_DOUBLE_EQ(projection.slowdown(), 5.0);
}

}  // namespace
}  // namespace lockstep
