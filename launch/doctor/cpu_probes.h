// The processors: how many may be used, how fast, and by which threads.
#pragma once

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"

namespace lockstep {

// The CPUs that this process may use, and the time that its container allows them.
Finding probe_cpus(const ProbeSource& source);
Finding probe_governor(const ProbeSource& source);
// OMP_NUM_THREADS, and variables that bind threads to cores: every rank would bind its own to the same ones.
Findings probe_threads(const ProbeSource& source);

}  // namespace lockstep
