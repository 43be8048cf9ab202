// What a rank's cores can compute at most, measured.
#pragma once

#include "bench/world.h"

namespace lockstep {

// Operations a second of a product of large float32 matrices with this rank's threads, all ranks at once: the
// best of a few, of the slowest rank. Collective.
double measure_peak_flop_per_s(const BenchWorld& world);

}  // namespace lockstep
