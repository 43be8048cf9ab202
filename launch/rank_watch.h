// RankWatch: whether a rank's process still goes on. Not a word about it from anybody else is needed, so it
// works for a rank that is alone, too.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "trainer/run_dir/heartbeat.h"

namespace lockstep {

// A rank stands still when a signal has stopped its process, or when it has not beaten its heart for as long
// as ranks wait for each other: a step, or a batch of an evaluation, that takes longer would end the run
// anyhow. What comes before the first step and saves are left out: reading and writing take what they take.
// Where there are others, they come first, since they can say what they have waited for.
class RankWatch {
 public:
  using Clock = std::chrono::steady_clock;

  // `limit`: of standing still; 0: for ever. `others`: there are ranks that wait for this one.
  RankWatch(std::chrono::milliseconds limit, bool others);

  void stopped(int signal, Clock::time_point now);
  void continued(Clock::time_point now);
  bool is_stopped() const { return stop_signal_ != 0; }
  // "was stopped by signal 19 (SIGSTOP)".
  std::string stop_text() const;

  // Why the process has to be ended, if it has to be; to be asked every interval().
  std::optional<std::string> verdict(const Heartbeat& heartbeat, Clock::time_point now);
  // Nothing where there is no limit.
  std::optional<std::chrono::milliseconds> interval() const;

 private:
  const std::chrono::milliseconds limit_;  // of this rank's, later than the others'
  const double limit_s_;                   // as it was given
  int stop_signal_ = 0;
  Clock::time_point still_since_ = Clock::now();
  std::int64_t beats_ = -1;
};

// --timeout as the launcher hands it on, LOCKSTEP_TIMEOUT_S; 0 where there is none.
std::chrono::milliseconds timeout_from_environment();

}  // namespace lockstep
