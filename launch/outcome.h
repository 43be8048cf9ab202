// From what all ranks left behind to one exit code and one line. A pure function.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launch/rank_end.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {

struct JobEnd {
  int world_size = 1;
  std::vector<ExitReport> reports;  // in rank order
  std::vector<RankEnd> ends;        // in the order in which they ended
  int starts = 0;                   // ranks that are known to have started
  int status = 0;                   // mpirun's exit code, or 128 + the signal that ended it
  bool forced = false;              // a second signal stopped it
};

struct Outcome {
  ExitCode code = ExitCode::kFinished;
  std::string message = {};       // one line, or empty where there is nothing to say
  int rank = -1;                  // that failed first, where that is known
  std::int64_t failed_at_ns = 0;  // wall clock; 0: not known
};

// A rank leaves its report unprinted and the launcher prints one line for all of them. In this order:
//   a report of 2 or 3 (the lowest rank's); a stop that was forced; a rank that was killed or stood still
//   (the first); a report of 11 (the lowest rank's); a rank that left without a report; then what the ranks
//   agreed on: 12, 10, 1 or 0.
// Ranks on hosts that do not see the folder may be missing as long as mpirun itself ended with 0.
Outcome judge(const JobEnd& job);

// "signal 9 (SIGKILL: by hand, or because memory ran out)"
std::string describe_signal(int signal);

}  // namespace lockstep
