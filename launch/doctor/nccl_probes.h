// NCCL: its version, and settings that cost speed or keep it from starting.
#pragma once

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"

namespace lockstep {

// Versions as ncclGetVersion() gives them: 22809 for 2.28.9. `loaded` is 0 where the library cannot be
// loaded; `file` is what was tried.
Finding probe_nccl_version(int loaded, int built_with, const std::string& file);

// The environment, /etc/nccl.conf and ~/.nccl.conf, which NCCL reads in this order of precedence; and the
// CUDA variables that slow every launch down.
Findings probe_nccl_settings(const ProbeSource& source);

// Asks a libnccl.so for its version; 0 where it cannot be loaded.
int nccl_version_of(const std::string& library);

}  // namespace lockstep
