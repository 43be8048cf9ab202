#include <algorithm>
#include <array>
#include <cstdio>

#include "trainer/nvml/nvml_functions.h"

namespace lockstep {
namespace {

constexpr unsigned kSmClock = 1;         // NVML_CLOCK_SM
constexpr unsigned kMostNvlinks = 18;    // NVML_NVLINK_MAX_LINKS
constexpr int kPeerRead = 0;             // NVML_P2P_CAPS_INDEX_READ
constexpr int kLevelsBetweenNames = 10;  // NVML_TOPOLOGY_INTERNAL 0, _SINGLE 10, ... _SYSTEM 50

std::optional<int> ask(int (*function)(NvmlDevice, unsigned*), NvmlDevice device) {
  unsigned value = 0;
  if (function == nullptr || function(device, &value) != kNvmlSuccess) return std::nullopt;
  return static_cast<int>(value);
}

std::optional<int> ask_clock(int (*function)(NvmlDevice, unsigned, unsigned*), NvmlDevice device) {
  unsigned value = 0;
  if (function == nullptr || function(device, kSmClock, &value) != kNvmlSuccess) return std::nullopt;
  return static_cast<int>(value);
}

std::string pci_address(const NvmlPciInfo& info) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.0", info.domain, info.bus, info.device);
  return text.data();
}

// None where the driver knows no NVLink; a GPU without one has 0.
std::optional<int> count_nvlinks(int (*state)(NvmlDevice, unsigned, unsigned*), NvmlDevice device) {
  if (state == nullptr) return std::nullopt;
  int up = 0;
  for (unsigned link = 0; link < kMostNvlinks; ++link) {
    unsigned active = 0;
    if (state(device, link, &active) == kNvmlSuccess && active != 0) ++up;
  }
  return up;
}

}  // namespace

GpuSystem Nvml::describe() const {
  const Functions& nvml = *functions_;
  GpuSystem system;
  char text[kNvmlNameBytes] = {};
  if (nvml.driver_version && nvml.driver_version(text, kNvmlNameBytes) == kNvmlSuccess)
    system.driver_version = text;
  int value = 0;
  if (nvml.cuda_version && nvml.cuda_version(&value) == kNvmlSuccess) system.cuda_version = value;
  unsigned count = 0;
  if (nvml.count(&count) != kNvmlSuccess) return system;
  std::vector<NvmlDevice> devices;
  for (unsigned index = 0; index < count; ++index) {
    NvmlDevice device = nullptr;
    if (nvml.device(index, &device) != kNvmlSuccess) continue;
    GpuDescription gpu;
    gpu.index = static_cast<int>(index);
    char name[kNvmlNameBytes] = {};
    if (nvml.name && nvml.name(device, name, kNvmlNameBytes) == kNvmlSuccess) gpu.name = name;
    NvmlPciInfo pci{};
    if (nvml.pci_info && nvml.pci_info(device, &pci) == kNvmlSuccess) gpu.pci_address = pci_address(pci);
    int major = 0;
    int minor = 0;
    if (nvml.capability && nvml.capability(device, &major, &minor) == kNvmlSuccess)
      gpu.compute_capability = major * 10 + minor;
    gpu.nvlinks = count_nvlinks(nvml.nvlink_state, device);
    gpu.pcie_generation = ask(nvml.max_pcie_generation, device);
    gpu.pcie_width = ask(nvml.pcie_width, device);
    gpu.pcie_max_width = ask(nvml.max_pcie_width, device);
    gpu.sm_clock_mhz = ask_clock(nvml.clock, device);
    gpu.application_clock_mhz = ask_clock(nvml.application_clock, device);
    gpu.max_sm_clock_mhz = ask_clock(nvml.max_clock, device);
    unsigned long long reasons = 0;
    if (nvml.slowed_down_by && nvml.slowed_down_by(device, &reasons) == kNvmlSuccess)
      gpu.slowed_down_by = reasons;
    if (nvml.persistence && nvml.persistence(device, &value) == kNvmlSuccess) gpu.persistence = value != 0;
    system.gpus.push_back(std::move(gpu));
    devices.push_back(device);
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    for (std::size_t j = i + 1; j < devices.size(); ++j) {
      GpuPair pair{system.gpus[i].index, system.gpus[j].index, {}, {}};
      if (nvml.common_ancestor && nvml.common_ancestor(devices[i], devices[j], &value) == kNvmlSuccess) {
        const int level = std::clamp(value / kLevelsBetweenNames, 0, static_cast<int>(GpuDistance::kMachine));
        pair.distance = static_cast<GpuDistance>(level);
      }
      if (nvml.peer_status && nvml.peer_status(devices[i], devices[j], kPeerRead, &value) == kNvmlSuccess)
        pair.peer_to_peer = value == 0;
      system.pairs.push_back(pair);
    }
  }
  return system;
}

}  // namespace lockstep
