#include "trainer/config/checkpoint_options.h"

#include <gtest/gtest.h>

#include "refusal.h"
#include "trainer/config/train_options.h"

namespace lockstep {
namespace {

using Kind = CheckpointInterval::Kind;

TEST(CheckpointOptions, AnIntervalIsStepsMinutesOrAWord) {
  EXPECT_EQ(parse_checkpoint_interval("epoch")->kind, Kind::kEpoch);
  EXPECT_EQ(parse_checkpoint_interval("auto")->kind, Kind::kAuto);
  EXPECT_EQ(parse_checkpoint_interval("500")->kind, Kind::kSteps);
  EXPECT_EQ(parse_checkpoint_interval("500")->steps, 500);
  EXPECT_EQ(parse_checkpoint_interval("10min")->kind, Kind::kMinutes);
  EXPECT_EQ(parse_checkpoint_interval("10min")->minutes, 10.0);
  EXPECT_EQ(parse_checkpoint_interval("0.25min")->minutes, 0.25);
}

TEST(CheckpointOptions, AnythingElseIsNoInterval) {
  for (const char* text : {"", "0", "-5", "05", "5x", "5.5", "min", "0min", "-1min", "nanmin", "infmin",
                           "1e9min", "10 min", "10mins", "Auto", "epochs", "9999999999999999999"}) {
    EXPECT_FALSE(parse_checkpoint_interval(text)) << text;
  }
}

TEST(CheckpointOptions, RefusesAnOptionWithoutItsPartner) {
  TrainConfig config;
  config.early_stopping_min_delta = 0.1;
  expect_refused([&] { check_contradictions(config); },
                 {"--early-stopping-min-delta", "--early-stopping-patience"});
  config.early_stopping_patience = 1;
  EXPECT_NO_THROW(check_contradictions(config));

  config = {};
  config.early_stopping_monitor = "test_accuracy";
  expect_refused([&] { check_contradictions(config); }, {"--early-stopping-monitor", "--keep-best"});
  config.keep_best = true;
  EXPECT_NO_THROW(check_contradictions(config));

  config = {};
  config.mean_time_between_failures_h = 5.0;
  expect_refused([&] { check_contradictions(config); },
                 {"--mean-time-between-failures", "--checkpoint-interval auto", "epoch"});
  config.checkpoint_interval = "auto";
  EXPECT_NO_THROW(check_contradictions(config));
}

}  // namespace
}  // namespace lockstep
