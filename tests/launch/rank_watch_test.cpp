#include "launch/rank_watch.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace lockstep {
namespace {

using namespace std::chrono_literals;

TEST(RankWatch, ARankThatBeatsIsNeverSilentHoweverLongItTakes) {
  RankWatch watch(10s, /*others=*/false);
  auto now = RankWatch::Clock::now();
  Heartbeat heartbeat{1, 0, RankPhase::kTraining};
  EXPECT_FALSE(watch.verdict(heartbeat, now));
  for (int hour = 0; hour < 400; ++hour) {  // 9 s a step, and then an evaluation
    ++heartbeat.beats;
    heartbeat.phase = hour < 300 ? RankPhase::kTraining : RankPhase::kEvaluating;
    EXPECT_FALSE(watch.verdict(heartbeat, now += 9s));
  }
  EXPECT_FALSE(watch.verdict(heartbeat, now + 9s));
  EXPECT_EQ(watch.verdict(heartbeat, now + 10s), "fell silent: not a step within 10 s (--timeout)");
}

TEST(RankWatch, TheStartSavesAndTheEndTakeWhatTheyTake) {
  for (const RankPhase phase : {RankPhase::kStarting, RankPhase::kSaving, RankPhase::kEnding}) {
    RankWatch watch(10s, /*others=*/false);
    const auto now = RankWatch::Clock::now();
    EXPECT_FALSE(watch.verdict({3, 0, phase}, now));
    EXPECT_FALSE(watch.verdict({3, 0, phase}, now + 2h));
    EXPECT_FALSE(watch.verdict({4, 0, RankPhase::kTraining}, now + 2h + 1s));  // counted from here
    EXPECT_FALSE(watch.verdict({4, 0, RankPhase::kTraining}, now + 2h + 10s));
    EXPECT_TRUE(watch.verdict({4, 0, RankPhase::kTraining}, now + 2h + 11s));
  }
}

TEST(RankWatch, AStoppedRankMayGoOn) {
  RankWatch watch(10s, /*others=*/false);
  const auto now = RankWatch::Clock::now();
  watch.stopped(SIGSTOP, now);
  EXPECT_FALSE(watch.verdict({}, now + 9s));
  watch.continued(now + 9s);
  EXPECT_FALSE(watch.verdict({}, now + 100s));
  watch.stopped(SIGTSTP, now + 100s);
  EXPECT_EQ(watch.verdict({}, now + 110s),
            "was stopped by signal 20 (SIGTSTP) and did not go on within 10 s");
}

TEST(RankWatch, PeersMayTimeOutFirst) {
  RankWatch watch(1500ms, /*others=*/true);
  const auto now = RankWatch::Clock::now();
  watch.stopped(SIGSTOP, now);
  EXPECT_FALSE(watch.verdict({}, now + 3s));
  EXPECT_EQ(watch.verdict({}, now + 3500ms),
            "was stopped by signal 19 (SIGSTOP) and did not go on within 1.5 s");
}

TEST(RankWatch, WithoutALimitNobodyIsJudged) {
  RankWatch watch(0s, /*others=*/false);
  EXPECT_FALSE(watch.interval());
  watch.stopped(SIGSTOP, RankWatch::Clock::now());
  EXPECT_FALSE(watch.verdict({5, 5, RankPhase::kTraining}, RankWatch::Clock::now() + 1000h));
}

TEST(RankWatch, ReadsTheTimeout) {
  const auto timeout_of = [](const char* text) {
    setenv("LOCKSTEP_TIMEOUT_S", text, 1);
    return timeout_from_environment();
  };
  EXPECT_EQ(timeout_of("2.500000"), 2500ms);
  EXPECT_EQ(timeout_of("-3"), 0ms);
  EXPECT_EQ(timeout_of("nan"), 0ms);
  EXPECT_EQ(timeout_of("1e300"), 1'000'000'000ms);
  unsetenv("LOCKSTEP_TIMEOUT_S");
  EXPECT_EQ(timeout_from_environment(), 0ms);
}

}  // namespace
}  // namespace lockstep
