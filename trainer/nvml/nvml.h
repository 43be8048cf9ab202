// Nvml: what the driver says about this machine's GPUs. Its library is loaded when the program runs, so that
// nothing needs a driver to build or to start.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/nvml/gpu_system.h"

namespace lockstep {

// Of one GPU, now. None: the driver does not say.
struct GpuReading {
  int index = 0;  // as nvidia-smi counts, whatever CUDA_VISIBLE_DEVICES says
  std::string name;
  // The share of the last sample period (up to a second) in which a kernel ran, in [0, 1]. One that waits for
  // other ranks in NCCL counts as running.
  std::optional<double> utilization;
  std::optional<double> memory_used_bytes;
  std::optional<double> memory_total_bytes;
  std::optional<double> power_w;
  // Over the last 20 ms.
  std::optional<double> pcie_sent_bytes_per_s;
  std::optional<double> pcie_received_bytes_per_s;
  // Over all links, since the driver started counting.
  std::optional<double> nvlink_sent_bytes;
  std::optional<double> nvlink_received_bytes;
};

// Thread-safe, as NVML is.
class Nvml {
 public:
  // Null where there is no such library, or no driver that answers.
  static std::unique_ptr<Nvml> load(const std::string& library = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;
  Nvml& operator=(const Nvml&) = delete;

  std::vector<GpuReading> read() const;
  GpuSystem describe() const;

 private:
  struct Functions;
  Nvml(void* handle, std::unique_ptr<Functions> functions);

  void* handle_;
  std::unique_ptr<Functions> functions_;
};

}  // namespace lockstep
