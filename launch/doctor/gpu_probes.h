// The driver, the GPUs, the ways between them, and their clocks.
#pragma once

#include "launch/doctor/finding.h"
#include "launch/doctor/probe_source.h"
#include "trainer/nvml/gpu_system.h"

namespace lockstep {

// `gpus`: what the driver says; none where there is no driver that answers. No GPU is no failure, since
// training works on the CPU; one that the driver does not see is. `build_cuda` is the CUDA version that
// LibTorch was built with: 13000 for 13.0.
Findings probe_driver(const ProbeSource& source, const std::optional<GpuSystem>& gpus, int build_cuda);
// NVLink, PCIe lanes, peer-to-peer access, NUMA nodes; nothing without GPUs.
Findings probe_topology(const ProbeSource& source, const GpuSystem& gpus);
// Of the GPUs.
Findings probe_gpu_clocks(const GpuSystem& gpus);

// Addresses on the PCI bus of NVIDIA's GPUs, whether or not there is a driver: "0000:1b:00.0".
std::vector<std::string> nvidia_gpus_on_pci(const ProbeSource& source);

}  // namespace lockstep
