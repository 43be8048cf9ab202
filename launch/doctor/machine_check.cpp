#include "launch/doctor/machine_check.h"

#include <future>
#include <sstream>

#include "launch/doctor/cpu_probes.h"
#include "launch/doctor/gpu_probes.h"
#include "launch/doctor/memory_probes.h"
#include "launch/doctor/nccl_probes.h"
#include "launch/doctor/network_probes.h"
#include "launch/doctor/pci_probes.h"
#include "launch/doctor/program_probes.h"
#include "launch/program_path.h"
#include "trainer/nvml/nvml.h"

namespace lockstep {
namespace {

void append(Findings& all, Findings more) {
  for (Finding& finding : more) all.push_back(std::move(finding));
}

// The dynamic linker takes the folders of LD_LIBRARY_PATH before those that a program was built with.
std::string nccl_to_load(const ProbeSource& source, const std::string& built_with) {
  std::istringstream folders(source.variable("LD_LIBRARY_PATH"));
  const std::string name = std::filesystem::path(built_with).filename().string();
  for (std::string folder; std::getline(folders, folder, ':');) {
    std::error_code error;
    if (!folder.empty() && std::filesystem::exists(std::filesystem::path(folder) / name, error))
      return (std::filesystem::path(folder) / name).string();
  }
  return built_with;
}

std::optional<GpuSystem> ask_driver() {
  const auto nvml = Nvml::load();
  return nvml ? std::optional(nvml->describe()) : std::nullopt;
}

}  // namespace

BuildFacts build_facts() {
  return {LOCKSTEP_BUILD_CUDA, LOCKSTEP_BUILD_NCCL, LOCKSTEP_BUILD_NCCL_LIBRARY};
}

MachineCheck check_machine(const ProbeSource& source, const std::optional<GpuSystem>& gpus,
                           const BuildFacts& build) {
  MachineCheck check;
  Findings& findings = check.findings;
  findings = probe_driver(source, gpus, build.cuda);
  std::vector<std::string> addresses;
  if (gpus) {
    check.driver = gpus->driver_version;
    append(findings, probe_topology(source, *gpus));
    append(findings, probe_gpu_clocks(*gpus));
    for (const GpuDescription& gpu : gpus->gpus) {
      if (!gpu.pci_address.empty()) addresses.push_back(gpu.pci_address);
    }
  }
  append(findings, probe_access_control(source, addresses));
  append(findings, probe_iommu(source, addresses));
  const std::string library = nccl_to_load(source, build.nccl_library);
  check.nccl = nccl_version_of(library);
  findings.push_back(probe_nccl_version(check.nccl, build.nccl, library));
  append(findings, probe_nccl_settings(source));
  findings.push_back(probe_cpus(source));
  findings.push_back(probe_governor(source));
  append(findings, probe_threads(source));
  findings.push_back(probe_memory_limit(source));
  findings.push_back(probe_shared_memory(source));
  findings.push_back(probe_locked_memory(source));
  findings.push_back(probe_huge_pages(source));
  append(findings, probe_mtu(source));
  findings.push_back(probe_ephemeral_ports(source));
  return check;
}

MachineCheck check_this_machine(const ProbeSource& source, const std::filesystem::path& run_dir) {
  // A driver that has to wake its GPUs takes a second or two.
  auto gpus = std::async(std::launch::async, ask_driver);
  auto launcher = std::async(std::launch::async, check_launcher, std::cref(source), run_dir);
  MachineCheck check = check_machine(source, gpus.get(), build_facts());
  append(check.findings, launcher.get());
  return check;
}

Findings check_launcher(const ProbeSource& source, const std::filesystem::path& run_dir) {
  auto open_mpi = std::async(std::launch::async, probe_open_mpi, source.variable("PATH"));
  Findings findings;
  if (!run_dir.empty()) findings.push_back(judge_disk(try_disk(run_dir)));
  findings.insert(findings.begin(), open_mpi.get());
  return findings;
}

}  // namespace lockstep
