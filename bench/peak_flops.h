// What a rank's device can compute at most, measured.
#pragma once

#include "bench/training_step.h"
#include "bench/world.h"

namespace lockstep {

// Operations a second of a product of large matrices, float32 or of the precision, on this rank's device, all
// ranks at once: the best of a few, of the slowest rank. Collective.
double measure_peak_flop_per_s(const BenchWorld& world, const StepPlace& place);

}  // namespace lockstep
