// What --on-finish runs when a run has ended: a command, without a shell, after a countdown that can be
// cancelled.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct OnFinish {
  std::vector<std::string> command;  // empty: nothing
  std::string when = "success";      // success | stopped (that, or paused, or the budget reached) | always
  double delay_s = 10.0;
};

// Says what will be run, waits (a signal cancels it), runs it and says how it ended. `code`: the run's exit
// code, which stays the launcher's.
void run_on_finish(const OnFinish& on_finish, int code);

}  // namespace lockstep
