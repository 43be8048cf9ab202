// All probes of one machine.
#pragma once

#include <filesystem>

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"
#include "trainer/nvml/gpu_system.h"

namespace lockstep {

// What this build was made with.
struct BuildFacts {
  int cuda = 0;              // 13000 for 13.0
  int nccl = 0;              // 22809 for 2.28.9
  std::string nccl_library;  // that programs load
};

BuildFacts build_facts();

struct MachineCheck {
  Findings findings;
  std::string driver;  // empty: none
  int nccl = 0;        // 0: none that loads
};

// What is found by reading, and by asking NCCL's library for its version. `gpus`: none where no driver
// answers.
MachineCheck check_machine(const ProbeSource& source, const std::optional<GpuSystem>& gpus,
                           const BuildFacts& build);

// Of the machine that this process is on: asks its driver, runs its mpirun and, unless `run_dir` is empty,
// writes to the disk there. These go on beside each other.
MachineCheck check_this_machine(const ProbeSource& source, const std::filesystem::path& run_dir);
// Only what the launcher's own machine needs where the ranks are elsewhere: mpirun and the run folder.
Findings check_launcher(const ProbeSource& source, const std::filesystem::path& run_dir);

}  // namespace lockstep
