#include "trainer/nvml/nvml.h"

#include <dlfcn.h>

#include <limits>
#include <utility>

#include "trainer/nvml/nvml_functions.h"

namespace lockstep {
namespace {

constexpr unsigned kPcieSent = 0;      // NVML_PCIE_UTIL_TX_BYTES
constexpr unsigned kPcieReceived = 1;  // NVML_PCIE_UTIL_RX_BYTES
constexpr unsigned kNvlinkSent = 138;  // NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX
constexpr unsigned kNvlinkReceived = 139;
constexpr unsigned kAllLinks = std::numeric_limits<unsigned>::max();
constexpr double kKib = 1024.0;

double number_of(const NvmlFieldValue& field) {
  switch (field.value_type) {
    case 0:
      return field.value.as_double;
    case 1:
      return field.value.as_unsigned;
    case 2:
      return static_cast<double>(field.value.as_unsigned_long);
    case 3:
      return static_cast<double>(field.value.as_unsigned_long_long);
    default:
      return static_cast<double>(field.value.as_long_long);
  }
}

template <class Function>
bool find(void* handle, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(handle, name));
  return function != nullptr;
}

}  // namespace

std::unique_ptr<Nvml> Nvml::load(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return nullptr;
  auto functions = std::make_unique<Functions>();
  const bool usable = find(handle, "nvmlInit_v2", functions->init) &&
                      find(handle, "nvmlShutdown", functions->shutdown) &&
                      find(handle, "nvmlDeviceGetCount_v2", functions->count) &&
                      find(handle, "nvmlDeviceGetHandleByIndex_v2", functions->device);
  if (!usable || functions->init() != kNvmlSuccess) {
    dlclose(handle);
    return nullptr;
  }
  find(handle, "nvmlDeviceGetName", functions->name);
  find(handle, "nvmlDeviceGetUtilizationRates", functions->utilization);
  find(handle, "nvmlDeviceGetMemoryInfo", functions->memory);
  find(handle, "nvmlDeviceGetPowerUsage", functions->power);
  find(handle, "nvmlDeviceGetPcieThroughput", functions->pcie);
  find(handle, "nvmlDeviceGetFieldValues", functions->fields);
  find(handle, "nvmlSystemGetDriverVersion", functions->driver_version);
  find(handle, "nvmlSystemGetCudaDriverVersion_v2", functions->cuda_version);
  find(handle, "nvmlDeviceGetCudaComputeCapability", functions->capability);
  find(handle, "nvmlDeviceGetPciInfo_v3", functions->pci_info);
  find(handle, "nvmlDeviceGetNvLinkState", functions->nvlink_state);
  find(handle, "nvmlDeviceGetMaxPcieLinkGeneration", functions->max_pcie_generation);
  find(handle, "nvmlDeviceGetCurrPcieLinkWidth", functions->pcie_width);
  find(handle, "nvmlDeviceGetMaxPcieLinkWidth", functions->max_pcie_width);
  find(handle, "nvmlDeviceGetClockInfo", functions->clock);
  find(handle, "nvmlDeviceGetApplicationsClock", functions->application_clock);
  find(handle, "nvmlDeviceGetMaxClockInfo", functions->max_clock);
  find(handle, "nvmlDeviceGetCurrentClocksThrottleReasons", functions->slowed_down_by);
  find(handle, "nvmlDeviceGetPersistenceMode", functions->persistence);
  find(handle, "nvmlDeviceGetTopologyCommonAncestor", functions->common_ancestor);
  find(handle, "nvmlDeviceGetP2PStatus", functions->peer_status);
  return std::unique_ptr<Nvml>(new Nvml(handle, std::move(functions)));
}

Nvml::Nvml(void* handle, std::unique_ptr<Functions> functions)
    : handle_(handle), functions_(std::move(functions)) {}

Nvml::~Nvml() {
  functions_->shutdown();
  dlclose(handle_);
}

std::vector<GpuReading> Nvml::read() const {
  const Functions& nvml = *functions_;
  std::vector<GpuReading> readings;
  unsigned count = 0;
  if (nvml.count(&count) != kNvmlSuccess) return readings;
  for (unsigned index = 0; index < count; ++index) {
    NvmlDevice device = nullptr;
    if (nvml.device(index, &device) != kNvmlSuccess) continue;
    GpuReading reading;
    reading.index = static_cast<int>(index);
    char name[kNvmlNameBytes] = {};
    if (nvml.name && nvml.name(device, name, kNvmlNameBytes) == kNvmlSuccess) reading.name = name;
    NvmlUtilization utilization{};
    if (nvml.utilization && nvml.utilization(device, &utilization) == kNvmlSuccess)
      reading.utilization = utilization.gpu / 100.0;
    NvmlMemory memory{};
    if (nvml.memory && nvml.memory(device, &memory) == kNvmlSuccess) {
      reading.memory_used_bytes = static_cast<double>(memory.used);
      reading.memory_total_bytes = static_cast<double>(memory.total);
    }
    unsigned value = 0;
    if (nvml.power && nvml.power(device, &value) == kNvmlSuccess) reading.power_w = value / 1e3;
    if (nvml.pcie && nvml.pcie(device, kPcieSent, &value) == kNvmlSuccess)
      reading.pcie_sent_bytes_per_s = value * 1e3;
    if (nvml.pcie && nvml.pcie(device, kPcieReceived, &value) == kNvmlSuccess)
      reading.pcie_received_bytes_per_s = value * 1e3;
    NvmlFieldValue links[2] = {};
    links[0].field = kNvlinkSent;
    links[1].field = kNvlinkReceived;
    links[0].scope = links[1].scope = kAllLinks;
    if (nvml.fields && nvml.fields(device, 2, links) == kNvmlSuccess) {
      if (links[0].result == kNvmlSuccess) reading.nvlink_sent_bytes = number_of(links[0]) * kKib;
      if (links[1].result == kNvmlSuccess) reading.nvlink_received_bytes = number_of(links[1]) * kKib;
    }
    readings.push_back(std::move(reading));
  }
  return readings;
}

}  // namespace lockstep
