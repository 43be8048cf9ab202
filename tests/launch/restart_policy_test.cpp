#include "launch/restart_policy.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(RestartPolicy, WithoutRestartsThereIsNothingToSay) {
  RestartPolicy policy({}, -1);
  const RestartVerdict verdict = policy.after({10, 12});
  EXPECT_FALSE(verdict.restart);
  EXPECT_EQ(verdict.text, "");
}

TEST(RestartPolicy, CountsRestartsWhileThereIsProgress) {
  RestartPolicy policy({2, 1.0}, 100);
  EXPECT_EQ(policy.after({110, 113}).text, "restart 1 of 2 in 1 s");
  EXPECT_EQ(policy.after({120, 121}).text, "restart 2 of 2 in 1 s");
  const RestartVerdict last = policy.after({130, 131});
  EXPECT_FALSE(last.restart);
  EXPECT_EQ(last.text, "gives up after 2 restarts (--max-restarts)");
}

TEST(RestartPolicy, GivesUpWhereTwoAttemptsRunningCameNoFurther) {
  RestartPolicy policy({100, 0.5}, -1);
  EXPECT_EQ(policy.after({-1, 7}).text, "restart 1 of 100 in 0.5 s");  // the first was further than nothing
  EXPECT_EQ(policy.after({-1, 7}).text, "restart 2 of 100 in 1 s");
  const RestartVerdict last = policy.after({-1, 6});
  EXPECT_FALSE(last.restart);
  EXPECT_EQ(last.text,
            "gives up: 2 attempts running came to no later step and no newer checkpoint than those before");
}

TEST(RestartPolicy, ANewerCheckpointOrALaterStepIsProgress) {
  RestartPolicy policy({100, 1.0}, 50);
  EXPECT_TRUE(policy.after({50, -1}).restart);  // none
  EXPECT_TRUE(policy.after({60, -1}).restart);  // a checkpoint
  EXPECT_TRUE(policy.after({60, -1}).restart);  // none
  EXPECT_TRUE(policy.after({60, 66}).restart);  // a step
  EXPECT_TRUE(policy.after({60, 66}).restart);
  EXPECT_FALSE(policy.after({60, 66}).restart);
}

TEST(RestartPolicy, TheDelayDoublesUpToAMinute) {
  RestartPolicy policy({100, 40.0}, -1);
  EXPECT_TRUE(policy.is_progress({10, -1}));
  EXPECT_EQ(policy.after({10, -1}).delay_s, 40.0);
  EXPECT_FALSE(policy.is_progress({10, -1}));
  EXPECT_EQ(policy.after({10, -1}).delay_s, 60.0);
  EXPECT_EQ(policy.after({10, -1}, /*other_ranks=*/true).delay_s, 40.0);
  EXPECT_EQ(policy.after({11, -1}).delay_s, 40.0);
}

}  // namespace
}  // namespace lockstep
