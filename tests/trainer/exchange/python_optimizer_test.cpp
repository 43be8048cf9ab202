#include "trainer/exchange/python_optimizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::ElementsAre;

TEST(ParamGroupDifferences, AreNamedWithBothValues) {
  const ParamGroup sgd{.lr = 0.5, .momentum = 0.9, .dampening = 0.0, .weight_decay = 0.25, .nesterov = true};
  EXPECT_THAT(differences(sgd, "sgd", {.lr = 0.1, .momentum = 0.5}, false),
              ElementsAre("weight decay was 0.25, is 0.0", "momentum was 0.9, is 0.5",
                          "nesterov was true, is false"));
  EXPECT_THAT(differences(sgd, "sgd", {.momentum = 0.5, .nesterov = true, .weight_decay = 0.25}, true),
              ElementsAre());
  const ParamGroup adam{.weight_decay = 0.0, .beta1 = 0.75, .beta2 = 0.5, .eps = 1.0};
  EXPECT_THAT(differences(adam, "adamw", {.beta1 = 0.5, .beta2 = 0.5, .eps = 2.0}, false),
              ElementsAre("beta1 was 0.75, is 0.5", "eps was 1.0, is 2.0"));
}

// What Python makes of it is in tests/end_to_end/exchange_test.py.
TEST(PythonSchedulerState, JoinsAWarmUp) {
  LrScheduleOptions schedule{.name = "cosine", .length = 20, .warmup_steps = 5};
  const auto state = python_scheduler_state(schedule, 12, 0.5).toGenericDict();
  EXPECT_EQ(state.at("last_epoch").toInt(), 12);
  const auto parts = state.at("_schedulers").toListRef();
  EXPECT_EQ(parts[0].toGenericDict().at("last_epoch").toInt(), 4);
  EXPECT_EQ(parts[1].toGenericDict().at("last_epoch").toInt(), 7);
  const auto begun = python_scheduler_state(schedule, 2, 0.5).toGenericDict();
  EXPECT_EQ(begun.at("_schedulers").toListRef()[0].toGenericDict().at("last_epoch").toInt(), 2);
  EXPECT_EQ(begun.at("_schedulers").toListRef()[1].toGenericDict().at("last_epoch").toInt(), -1);
  schedule.name = "constant";
  EXPECT_FALSE(python_scheduler_state(schedule, 2, 0.5).toGenericDict().contains("_schedulers"));
}

}  // namespace
}  // namespace lockstep
