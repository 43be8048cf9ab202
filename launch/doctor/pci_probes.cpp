// PCI Express Base Specification 5.0: 7.6.3 (extended capabilities), 7.7.8 (ACS). Why it matters: "PCI Access
// Control Services" in NCCL's troubleshooting guide.
#include "launch/doctor/pci_probes.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace lockstep {
namespace {

constexpr const char* kAccessControl = "pcie access";
constexpr const char* kIommu = "iommu";

constexpr std::size_t kExtendedBegin = 0x100;
constexpr unsigned kAccessControlCapability = 0x000D;
constexpr unsigned kRequestRedirect = 0x4;
constexpr unsigned kCompletionRedirect = 0x8;
constexpr unsigned kUpstreamForwarding = 0x10;

unsigned byte_at(const std::string& config, std::size_t offset) {
  return static_cast<unsigned char>(config[offset]);
}

unsigned word_at(const std::string& config, std::size_t offset) {
  return byte_at(config, offset) | byte_at(config, offset + 1) << 8;
}

// Not by ProbeSource::text(), which takes white space off the end.
std::string read_config(const ProbeSource& source, const std::string& address) {
  std::ifstream stream(source.root / "sys/bus/pci/devices" / address / "config", std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool is_bridge(const ProbeSource& source, const std::string& address) {
  const auto kind = source.text("sys/bus/pci/devices/" + address + "/class");
  return kind && kind->starts_with("0x0604");
}

bool in_virtual_machine(const ProbeSource& source) {
  const auto cpus = source.text("proc/cpuinfo").value_or("");
  const std::size_t flags = cpus.find("\nflags");
  if (flags == std::string::npos) return false;
  const std::string line = cpus.substr(flags + 1, cpus.find('\n', flags + 1) - flags - 1) + " ";
  return line.find(" hypervisor ") != std::string::npos;
}

}  // namespace

std::optional<unsigned> access_control_of(const std::string& config) {
  constexpr int kMostCapabilities = 96;  // a list that is damaged may be a circle
  std::size_t offset = kExtendedBegin;
  for (int i = 0; i < kMostCapabilities && offset >= kExtendedBegin && offset + 8 <= config.size(); ++i) {
    if (word_at(config, offset) == kAccessControlCapability) return word_at(config, offset + 6);
    offset = word_at(config, offset + 2) >> 4;
  }
  return std::nullopt;
}

Findings probe_access_control(const ProbeSource& source, const std::vector<std::string>& gpu_addresses) {
  if (gpu_addresses.size() < 2) return {};
  std::vector<std::string> redirecting;
  bool readable = true;
  int bridges = 0;
  for (const std::string& address : source.names("sys/bus/pci/devices")) {
    if (!is_bridge(source, address)) continue;
    ++bridges;
    const std::string config = read_config(source, address);
    readable = readable && config.size() > kExtendedBegin;
    const unsigned control = access_control_of(config).value_or(0);
    if ((control & (kRequestRedirect | kCompletionRedirect | kUpstreamForwarding)) != 0)
      redirecting.push_back(address);
  }
  if (!redirecting.empty()) {
    return {warning(kAccessControl,
                    "access control (ACS) sends what GPUs tell each other through the processor, at " +
                        std::to_string(redirecting.size()) + " PCIe bridges, such as " + redirecting.front(),
                    "switch it off in the BIOS, or setpci -s " + redirecting.front() +
                        " ECAP_ACS+0x6.w=0000 for each; in a virtual machine ask who rents it out")};
  }
  if (!readable)
    return {warning(kAccessControl, "only root can read whether access control (ACS) is on",
                    "run lockstep doctor as root once")};
  return {
      ok(kAccessControl, "no access control (ACS) at the " + std::to_string(bridges) + " PCIe bridges seen")};
}

Findings probe_iommu(const ProbeSource& source, const std::vector<std::string>& gpu_addresses) {
  const bool virtual_machine = in_virtual_machine(source);
  const std::string where = virtual_machine ? " in this virtual machine" : "";
  std::vector<std::string> translated;
  for (const std::string& address : gpu_addresses) {
    const auto type = source.text("sys/bus/pci/devices/" + address + "/iommu_group/type");
    if (type && type->starts_with("DMA")) translated.push_back(address);
  }
  if (!translated.empty()) {
    return {warning(
        kIommu,
        "the IOMMU translates what " + std::to_string(translated.size()) +
            " GPU(s) read and write, such as " + translated.front(),
        "iommu=pt on the kernel's command line, or the IOMMU off in the BIOS, where nothing else needs it")};
  }
  if (source.names("sys/class/iommu").empty()) {
    if (virtual_machine && gpu_addresses.size() > 1)
      return {ok(kIommu, "none" + where +
                             "; its host has one for passing the GPUs through, and GPUs reach each other "
                             "directly only where it allows (ATS)")};
    return {ok(kIommu, "none" + where)};
  }
  return {ok(kIommu, (gpu_addresses.empty() ? "there is one" : "passes the GPUs' accesses through") + where)};
}

}  // namespace lockstep
