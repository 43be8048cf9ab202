// One training session of one rank: from its options to its exit code. Wires; trains nothing itself.
#pragma once

#include <string>

#include "comm/placement.h"
#include "trainer/config/train_config.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {

// How a session ended, alike on all ranks.
struct SessionEnd {
  ExitCode code = ExitCode::kFinished;
  std::string message;  // one line for the user; empty for kFinished
};

// Joins the other ranks, makes data, model and run folder ready, and trains. Collective over all ranks.
// Throws AgreedStop, on all ranks alike, after which they have left each other in good order. What else it
// throws is this rank's own: std::invalid_argument before the ranks have met, CommError, DataError for data
// that turn out bad later.
SessionEnd run_session(const TrainConfig& config, const Placement& placement);

}  // namespace lockstep
