// Shared memory, locked memory, huge pages, and what a container allows.
#pragma once

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"

namespace lockstep {

// /dev/shm, which NCCL and PyTorch's data loaders use; ours does not (memfd).
Finding probe_shared_memory(const ProbeSource& source);
// What InfiniBand has to lock.
Finding probe_locked_memory(const ProbeSource& source);
Finding probe_huge_pages(const ProbeSource& source);
// The memory that a cgroup (version 1 or 2) leaves, beside the machine's.
Finding probe_memory_limit(const ProbeSource& source);

}  // namespace lockstep
