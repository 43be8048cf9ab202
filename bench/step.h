// `lockstep bench step` on one rank.
#pragma once

#include "bench/config/step_config.h"
#include "bench/world.h"

namespace lockstep {

// The whole benchmark, rank 0's output and files included. Returns false if it was stopped on request.
bool run_step_bench(const StepConfig& config, BenchWorld& world);

}  // namespace lockstep
