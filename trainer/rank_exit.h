// How the program of one rank ends: what it says, and the exit code that it hands to the launcher past mpirun
// (docs/launch.md).
#pragma once

#include <functional>
#include <string>

#include "trainer/run_dir/exit_code.h"

namespace lockstep {

struct RankEnding {
  ExitCode code = ExitCode::kFinished;
  std::string message = {};  // one line; empty where there is nothing to say
  int peer = -1;             // the other rank that was missing, where that is the failure
};

// An end that all ranks share: rank 0 says it. To mpirun a reported one is no failure, since it would
// otherwise kill ranks that are still writing. Returns the process's exit status.
int leave_together(int rank, const RankEnding& ending);

// An error before the ranks have met. All ranks most likely have the same, so rank 0 says it; another rank
// speaks up only if rank 0's end has not ended it by then. Returns the process's exit status.
int leave_before_meeting(int rank, const RankEnding& ending);

// An error of this rank alone: there is nobody left to agree with, and nothing may wait for the peers.
[[noreturn]] void leave_alone(int rank, const RankEnding& ending);

// Runs `body`, the whole work of a rank, and leaves as what it returns or throws has it: AgreedStop and what
// is returned together; std::invalid_argument, which only the time before the ranks have met throws, before
// meeting; everything else alone. Static destructors are not run: they take longer than all of that.
[[noreturn]] void end_rank(int rank, const std::function<RankEnding()>& body);

}  // namespace lockstep
