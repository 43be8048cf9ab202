#include "trainer/run_dir/heartbeat.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/thread_time.h"

namespace lockstep {
namespace {

TEST(Heartbeat, AChildsIsSeenByItsParentEvenOnceItIsGone) {
  const HeartbeatPage page = HeartbeatPage::create();
  EXPECT_EQ(page.read().beats, 0);
  const pid_t child = fork();
  if (child == 0) {
    setenv(HeartbeatPage::kVariable, std::to_string(page.descriptor()).c_str(), 1);
    HeartbeatPage own = HeartbeatPage::from_environment();
    own.beat(RankPhase::kTraining, 41);
    own.beat(RankPhase::kSaving, 42);
    _exit(0);
  }
  waitpid(child, nullptr, 0);
  const Heartbeat seen = page.read();
  EXPECT_EQ(seen.beats, 2);
  EXPECT_EQ(seen.step, 42);
  EXPECT_EQ(seen.phase, RankPhase::kSaving);
}

TEST(Heartbeat, WhereNobodyReadsItNothingHappens) {
  for (const char* text : {"", "x", "7x", "-1", "0", "123456", "99999999999999999999"}) {
    setenv(HeartbeatPage::kVariable, text, 1);
    HeartbeatPage page = HeartbeatPage::from_environment();
    page.beat(RankPhase::kTraining, 3);
    EXPECT_EQ(page.read().beats, 0) << text;
  }
  unsetenv(HeartbeatPage::kVariable);
  EXPECT_EQ(HeartbeatPage::from_environment().descriptor(), -1);
}

TEST(Heartbeat, SaysWhereARankIs) {
  EXPECT_EQ(describe({0, 0, RankPhase::kStarting}), "at the start");
  EXPECT_EQ(describe({1, 12, RankPhase::kTraining}), "in step 13");
  EXPECT_EQ(describe({1, 12, RankPhase::kEvaluating}), "in the evaluation after step 12");
  EXPECT_EQ(describe({1, 12, RankPhase::kSaving}), "in the save after step 12");
  EXPECT_EQ(describe({1, 12, RankPhase::kEnding}), "at the end, after step 12");
}

// The budget of all supervision is 15 us a step; a beat is all that a step does for it.
TEST(Heartbeat, CostsNextToNothing) {
  HeartbeatPage page = HeartbeatPage::create();
  constexpr int kBeats = 100'000;
  const double begin_s = testing::thread_time_s();
  for (int i = 0; i < kBeats; ++i) page.beat(RankPhase::kTraining, i);
  const double each_us = (testing::thread_time_s() - begin_s) / kBeats * 1e6;
  EXPECT_LT(each_us, 5.0);
  RecordProperty("beat_us", std::to_string(each_us));
}

}  // namespace
}  // namespace lockstep
