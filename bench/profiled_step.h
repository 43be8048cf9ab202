// What one rank's training step takes, and when each of its gradients is ready.
#pragma once

#include "bench/config/step_config.h"
#include "bench/scaling/step_model.h"

namespace lockstep {

// Some steps of the workload without communication; medians, gradient by gradient.
StepProfile profile_step(const Workload& workload);

}  // namespace lockstep
