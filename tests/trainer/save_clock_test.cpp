#include "trainer/save_clock.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

constexpr double kHourS = 3600.0;

CheckpointInterval interval(const char* text) {
  return *parse_checkpoint_interval(text);
}
LedgerRecord attempt(double running_s, bool closed, const char* reason = "") {
  LedgerRecord record;
  record.running_s = running_s;
  record.closed = closed;
  record.reason = reason;
  return record;
}

TEST(SaveClock, YoungAndDaly) {
  // sqrt(2 * 2 s * 10,000 s) - 2 s = 200 s - 2 s
  EXPECT_DOUBLE_EQ(young_daly_interval_s(2.0, 10'000.0), 198.0);
  // Where saves take longer than half the time to a failure Daly's formula gives that time.
  EXPECT_DOUBLE_EQ(young_daly_interval_s(60.0, 100.0), 100.0);
}

TEST(SaveClock, NoOtherIntervalLosesLess) {
  // The expected part of the time that is lost with an interval t: the save, and half of what lies between
  // two saves for each failure.
  const double save_s = 3.0, failure_s = 5000.0;
  const auto lost = [&](double t) { return save_s / (t + save_s) + (t + save_s) / (2.0 * failure_s); };
  const double best = young_daly_interval_s(save_s, failure_s);
  for (const double factor : {0.5, 0.9, 1.1, 2.0}) EXPECT_GT(lost(factor * best), lost(best)) << factor;
}

TEST(SaveClock, FailuresAreGivenOrSeenOrExpectedOnceADay) {
  EXPECT_DOUBLE_EQ(mean_time_between_failures_s({}, 0.0, 1), 24 * kHourS);
  EXPECT_DOUBLE_EQ(mean_time_between_failures_s({}, 0.0, 8), 3 * kHourS);
  EXPECT_DOUBLE_EQ(mean_time_between_failures_s({}, 100.0, 4), 25 * kHourS);
  // Of three attempts one was killed and one could not go on, within 9 hours.
  const std::vector<LedgerRecord> attempts = {attempt(2 * kHourS, false), attempt(6 * kHourS, true, "paused"),
                                              attempt(kHourS, true, "failed")};
  EXPECT_DOUBLE_EQ(mean_time_between_failures_s(attempts, 0.0, 8), 4.5 * kHourS);
  EXPECT_DOUBLE_EQ(mean_time_between_failures_s(attempts, 100.0, 4), 25 * kHourS);
  EXPECT_DOUBLE_EQ(mean_time_between_failures_s({attempt(kHourS, true)}, 0.0, 1), 24 * kHourS);
}

TEST(SaveClock, ByTheMinute) {
  SaveClock clock(interval("2min"), kHourS, 1000.0);
  EXPECT_EQ(clock.interval_s(), 120.0);
  EXPECT_FALSE(clock.due(1119.0));
  EXPECT_TRUE(clock.due(1120.0));
  clock.saved(1130.0, 50.0);
  EXPECT_FALSE(clock.due(1249.0));
  EXPECT_TRUE(clock.due(1250.0));
}

TEST(SaveClock, AutoGoesByWhatSavesCost) {
  SaveClock clock(interval("auto"), 10'000.0, 0.0);
  EXPECT_EQ(clock.interval_s(), std::nullopt);
  EXPECT_FALSE(clock.due(SaveClock::kFirstAutoSaveS - 1.0));
  EXPECT_TRUE(clock.due(SaveClock::kFirstAutoSaveS));
  clock.saved(60.0, 2.0);
  EXPECT_EQ(clock.interval_s(), 198.0);
  EXPECT_FALSE(clock.due(257.0));
  EXPECT_TRUE(clock.due(258.0));
  clock.saved(258.0, 1.0);
  EXPECT_EQ(clock.blocking_s(), 1.5);
}

TEST(SaveClock, StepsAndEpochsAreNoTimes) {
  for (const char* text : {"epoch", "10"}) {
    SaveClock clock(interval(text), 1.0, 0.0);
    EXPECT_FALSE(clock.due(1e9)) << text;
    clock.saved(0.0, 1.0);
    EXPECT_FALSE(clock.due(1e9)) << text;
    EXPECT_EQ(clock.interval_s(), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace lockstep
