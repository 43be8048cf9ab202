// What the driver says of a machine's GPUs that does not change while a run goes on, or should not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

// Of one GPU. None: the driver does not say.
struct GpuDescription {
  int index = 0;  // as nvidia-smi counts
  std::string name;
  std::string pci_address;                // as sysfs spells it: "0000:1b:00.0"; empty: unknown
  std::optional<int> compute_capability;  // 90 for 9.0
  std::optional<int> nvlinks;             // that are up
  std::optional<int> pcie_generation;     // the GPU's and the slot's best; it idles in a lower one
  std::optional<int> pcie_width;          // lanes, now
  std::optional<int> pcie_max_width;
  std::optional<int> sm_clock_mhz;              // now
  std::optional<int> application_clock_mhz;     // the most that applications are allowed
  std::optional<int> max_sm_clock_mhz;          // the most that it can do
  std::optional<std::uint64_t> slowed_down_by;  // nvmlClocksEventReason* bits
  std::optional<bool> persistence;              // the driver keeps it initialised between programs
};

// The nearest thing that two GPUs have in common, in the order of nvmlGpuTopologyLevel_t.
enum class GpuDistance { kSameBoard, kPcieSwitch, kPcieSwitches, kHostBridge, kNumaNode, kMachine };

struct GpuPair {
  int first = 0;
  int second = 0;
  std::optional<GpuDistance> distance;
  std::optional<bool> peer_to_peer;  // each may read the other's memory
};

struct GpuSystem {
  std::string driver_version;       // "580.95.05"
  std::optional<int> cuda_version;  // the newest that the driver knows: 13000 for 13.0
  std::vector<GpuDescription> gpus;
  std::vector<GpuPair> pairs;  // first < second
};

// Reasons that slow a GPU down which somebody should look into; the bits of nvml.h.
inline constexpr std::uint64_t kSlowedByPowerCap = 0x4;
inline constexpr std::uint64_t kSlowedByHardware = 0x8;
inline constexpr std::uint64_t kSlowedByHeat = 0x20 | 0x40;
inline constexpr std::uint64_t kSlowedByPowerBrake = 0x80;

}  // namespace lockstep
