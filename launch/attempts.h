// The attempts of a job: starts its ranks, and starts them again after a failure that may be tried again.
#pragma once

#include <functional>
#include <string>

#include "launch/mpirun.h"
#include "launch/outcome.h"
#include "launch/rank_job.h"

namespace lockstep {

// Blocks until the job has ended for good; how its last attempt did. `say` prints one line for the user.
// Signals (job_signals.h) count for the whole job: one that comes between two attempts ends it as a pause.
Outcome run_attempts(const JobPlan& plan, const RankJob& job,
                     const std::function<void(const std::string&)>& say);

}  // namespace lockstep
