// What the control groups of this process allow it, in both versions of Linux's interface.
#pragma once

#include "launch/doctor/probe_source.h"

namespace lockstep {

// CPUs' worth of time; none: no limit.
std::optional<double> control_group_cpus(const ProbeSource& source);
// Bytes; none: no limit.
std::optional<std::int64_t> control_group_memory(const ProbeSource& source);
// "docker", "kubernetes", ... ; empty where nothing says that this is a container.
std::string container_kind(const ProbeSource& source);

}  // namespace lockstep
