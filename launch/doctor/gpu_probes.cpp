#include "launch/doctor/gpu_probes.h"

#include <algorithm>
#include <map>

namespace lockstep {
namespace {

constexpr const char* kDriver = "driver";
constexpr const char* kTopology = "topology";
constexpr const char* kClocks = "gpu clocks";

// The oldest driver for each major CUDA version, by "minor version compatibility" in NVIDIA's CUDA release
// notes.
int oldest_driver(int cuda_major) {
  if (cuda_major <= 11) return 450;
  return cuda_major == 12 ? 525 : 580;
}

// "13.0" of 13000.
std::string cuda_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// The oldest GPUs that CUDA 13 compiles for: its release notes drop what came before Turing.
int least_capability(int build_cuda) {
  return build_cuda >= 13000 ? 75 : 50;
}

std::string gpu_text(const GpuDescription& gpu) {
  return "GPU " + std::to_string(gpu.index) + (gpu.name.empty() ? "" : " (" + gpu.name + ")");
}

// "4 x NVIDIA H200, 1 x old"
std::string inventory(const GpuSystem& system) {
  std::map<std::string, int> counts;
  for (const GpuDescription& gpu : system.gpus) ++counts[gpu.name.empty() ? "unnamed" : gpu.name];
  std::string text;
  for (const auto& [name, number] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(number) + " x " + name;
  return text;
}

Finding without_driver(const ProbeSource& source, int build_cuda) {
  const auto present = nvidia_gpus_on_pci(source);
  if (present.empty())
    return ok(kDriver, "no NVIDIA GPU and no driver: training works on the CPU (--device cpu)");
  const std::string what = std::to_string(present.size()) + " NVIDIA GPU(s) on the PCI bus (" +
                           present.front() + (present.size() > 1 ? ", ..." : "") +
                           "), and no driver that answers";
  if (source.exists("proc/driver/nvidia/version"))
    return failure(kDriver, what + ", though its kernel module is loaded",
                   "a container has to be started with its GPUs: docker run --gpus all, or the NVIDIA device "
                   "plugin of Kubernetes");
  return failure(kDriver, what,
                 "install NVIDIA's driver " + std::to_string(oldest_driver(build_cuda / 1000)) +
                     " or newer, and load it (modprobe nvidia)");
}

const char* distance_text(GpuDistance distance) {
  switch (distance) {
    case GpuDistance::kSameBoard:
      return "one board";
    case GpuDistance::kPcieSwitch:
      return "one PCIe switch";
    case GpuDistance::kPcieSwitches:
      return "several PCIe switches";
    case GpuDistance::kHostBridge:
      return "a PCIe host bridge";
    case GpuDistance::kNumaNode:
      return "the bus of a NUMA node";
    default:
      return "the bus between NUMA nodes";
  }
}

std::optional<Finding> probe_lanes(const GpuDescription& gpu) {
  if (!gpu.pcie_width || !gpu.pcie_max_width) return std::nullopt;
  const std::string lanes = std::to_string(*gpu.pcie_width) + " of " + std::to_string(*gpu.pcie_max_width);
  if (*gpu.pcie_width >= *gpu.pcie_max_width) return std::nullopt;
  return warning(kTopology, gpu_text(gpu) + " uses " + lanes + " PCIe lanes",
                 "put it in a slot with all lanes, seat it anew, or ask who rents it out");
}

Finding describe_links(const GpuSystem& system) {
  std::string text;
  const auto linked = [](const GpuDescription& gpu) { return gpu.nvlinks.value_or(0) > 0; };
  if (std::all_of(system.gpus.begin(), system.gpus.end(), linked)) {
    text = "NVLink on every GPU (" + std::to_string(*system.gpus.front().nvlinks) + " links on the first)";
  } else if (std::any_of(system.gpus.begin(), system.gpus.end(), linked)) {
    text = "NVLink on some GPUs only";
  } else {
    text = "no NVLink";
  }
  GpuDistance farthest = GpuDistance::kSameBoard;
  bool known = false;
  for (const GpuPair& pair : system.pairs) {
    if (!pair.distance) continue;
    farthest = std::max(farthest, *pair.distance);
    known = true;
  }
  if (known) text += "; over PCIe the farthest two are joined by " + std::string(distance_text(farthest));
  const auto& first = system.gpus.front();
  if (first.pcie_generation && first.pcie_max_width)
    text +=
        "; PCIe " + std::to_string(*first.pcie_generation) + ".0 x" + std::to_string(*first.pcie_max_width);
  return ok(kTopology, text);
}

// Where the processors are several nodes, a GPU whose node nobody knows gets its data over the longer way
// half the time.
std::optional<Finding> probe_numa(const ProbeSource& source, const GpuDescription& gpu, int nodes) {
  if (gpu.pci_address.empty() || nodes < 2) return std::nullopt;
  const auto node = source.number("sys/bus/pci/devices/" + gpu.pci_address + "/numa_node");
  if (!node || *node >= 0) return std::nullopt;
  return warning(kTopology,
                 gpu_text(gpu) + " belongs to no NUMA node, and the machine has " + std::to_string(nodes),
                 "a virtual machine should pass its topology on; else set one NUMA node in the BIOS (NPS1)");
}

int count_numa_nodes(const ProbeSource& source) {
  const auto names = source.names("sys/devices/system/node");
  return static_cast<int>(std::count_if(names.begin(), names.end(), [](const std::string& name) {
    return name.starts_with("node") && name.size() > 4 && name[4] >= '0' && name[4] <= '9';
  }));
}

}  // namespace

std::vector<std::string> nvidia_gpus_on_pci(const ProbeSource& source) {
  std::vector<std::string> found;
  for (const std::string& address : source.names("sys/bus/pci/devices")) {
    const std::string folder = "sys/bus/pci/devices/" + address;
    const auto kind = source.text(folder + "/class");
    // 0x03: display controllers; 0x0302 those without a screen.
    if (source.text(folder + "/vendor") == "0x10de" && kind && kind->starts_with("0x03"))
      found.push_back(address);
  }
  return found;
}

Findings probe_driver(const ProbeSource& source, const std::optional<GpuSystem>& gpus, int build_cuda) {
  if (!gpus) return {without_driver(source, build_cuda)};
  Findings findings;
  const int major = build_cuda / 1000;
  const std::string driver = "driver " + (gpus->driver_version.empty() ? "?" : gpus->driver_version);
  if (gpus->cuda_version && *gpus->cuda_version / 1000 < major) {
    findings.push_back(failure(kDriver,
                               driver + " knows CUDA " + cuda_text(*gpus->cuda_version) +
                                   ", and this build needs " + cuda_text(build_cuda),
                               "install driver " + std::to_string(oldest_driver(major)) + " or newer"));
  } else if (!gpus->cuda_version) {
    findings.push_back(warning(
        kDriver, driver + " does not say which CUDA it knows; this build needs " + cuda_text(build_cuda),
        "install driver " + std::to_string(oldest_driver(major)) + " or newer"));
  } else {
    findings.push_back(ok(kDriver, driver + ", CUDA " + cuda_text(*gpus->cuda_version) +
                                       "; this build needs " + cuda_text(build_cuda)));
  }
  if (gpus->gpus.empty()) {
    findings.push_back(warning("gpus", "the driver finds no GPU",
                               "look at dmesg for NVRM; training works on "
                               "the CPU"));
    return findings;
  }
  findings.push_back(ok("gpus", inventory(*gpus)));
  for (const GpuDescription& gpu : gpus->gpus) {
    const int least = least_capability(build_cuda);
    if (gpu.compute_capability && *gpu.compute_capability < least) {
      findings.push_back(failure("gpus",
                                 gpu_text(gpu) + " has compute capability " +
                                     std::to_string(*gpu.compute_capability / 10) + "." +
                                     std::to_string(*gpu.compute_capability % 10) + ", which CUDA " +
                                     cuda_text(build_cuda) + " has dropped",
                                 "use a GPU from Turing (7.5) on"));
    }
  }
  const auto visible = source.environment.find("CUDA_VISIBLE_DEVICES");
  if (visible != source.environment.end()) {
    const std::string what = "CUDA_VISIBLE_DEVICES is \"" + visible->second + "\"";
    findings.push_back(visible->second.empty() || visible->second.starts_with("-1")
                           ? warning("gpus", what + ": no GPU is visible to a run", "unset it")
                           : ok("gpus", what));
  }
  return findings;
}

Findings probe_topology(const ProbeSource& source, const GpuSystem& gpus) {
  if (gpus.gpus.empty()) return {};
  Findings findings = {describe_links(gpus)};
  const int nodes = count_numa_nodes(source);
  for (const GpuDescription& gpu : gpus.gpus) {
    if (auto lanes = probe_lanes(gpu)) findings.push_back(*lanes);
    if (auto numa = probe_numa(source, gpu, nodes)) findings.push_back(*numa);
  }
  const auto denied = [](const GpuPair& pair) { return pair.peer_to_peer == false; };
  const auto blocked = std::count_if(gpus.pairs.begin(), gpus.pairs.end(), denied);
  if (blocked > 0) {
    const auto& first = *std::find_if(gpus.pairs.begin(), gpus.pairs.end(), denied);
    findings.push_back(warning(kTopology,
                               std::to_string(blocked) + " of " + std::to_string(gpus.pairs.size()) +
                                   " pairs of GPUs cannot read each other's memory, such as " +
                                   std::to_string(first.first) + " and " + std::to_string(first.second),
                               "NCCL goes through the machine's memory then; see the lines on PCIe access "
                               "control and IOMMU, and nvidia-smi topo -p2p r"));
  }
  return findings;
}

Findings probe_gpu_clocks(const GpuSystem& gpus) {
  Findings findings;
  for (const GpuDescription& gpu : gpus.gpus) {
    const std::string who = gpu_text(gpu);
    const std::uint64_t reasons = gpu.slowed_down_by.value_or(0);
    if ((reasons & (kSlowedByHeat | kSlowedByHardware | kSlowedByPowerBrake)) != 0) {
      findings.push_back(
          warning(kClocks,
                  who + " is slowed down by " +
                      ((reasons & kSlowedByHeat) != 0 ? "heat" : "its hardware or its power supply"),
                  "see nvidia-smi -q -d PERFORMANCE,TEMPERATURE; cool it, or have it replaced"));
    }
    if (gpu.application_clock_mhz && gpu.max_sm_clock_mhz &&
        *gpu.application_clock_mhz * 10 < *gpu.max_sm_clock_mhz * 9) {
      findings.push_back(warning(kClocks,
                                 who + " is held at " + std::to_string(*gpu.application_clock_mhz) +
                                     " MHz for applications, of " + std::to_string(*gpu.max_sm_clock_mhz),
                                 "nvidia-smi --reset-applications-clocks, as root"));
    }
    if (gpu.persistence == false) {
      findings.push_back(warning(kClocks,
                                 who + " is not in persistence mode: every start of a run loads the driver "
                                       "anew",
                                 "nvidia-smi -pm 1, or start nvidia-persistenced"));
    }
  }
  if (findings.empty() && !gpus.gpus.empty()) findings.push_back(ok(kClocks, "nothing slows the GPUs down"));
  return findings;
}

}  // namespace lockstep
