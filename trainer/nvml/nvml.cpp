// The declarations are those of nvml.h, whose names and layouts NVIDIA keeps: it comes with the toolkit,
// which a build need not have in full.
#include "trainer/nvml/nvml.h"

#include <dlfcn.h>

#include <limits>
#include <utility>

namespace lockstep {
namespace {

using Device = struct nvmlDevice_st*;
constexpr int kSuccess = 0;
constexpr unsigned kNameBytes = 96;    // NVML_DEVICE_NAME_V2_BUFFER_SIZE
constexpr unsigned kPcieSent = 0;      // NVML_PCIE_UTIL_TX_BYTES
constexpr unsigned kPcieReceived = 1;  // NVML_PCIE_UTIL_RX_BYTES
constexpr unsigned kNvlinkSent = 138;  // NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX
constexpr unsigned kNvlinkReceived = 139;
constexpr unsigned kAllLinks = std::numeric_limits<unsigned>::max();
constexpr double kKib = 1024.0;

struct Utilization {
  unsigned gpu;
  unsigned memory;
};
struct Memory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
struct FieldValue {
  unsigned field;
  unsigned scope;
  long long timestamp;
  long long latency_us;
  int value_type;
  int result;
  union {
    double as_double;
    unsigned as_unsigned;
    unsigned long as_unsigned_long;
    unsigned long long as_unsigned_long_long;
    long long as_long_long;
  } value;
};

double number_of(const FieldValue& field) {
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

// Those that an old driver may lack are null then.
struct Nvml::Functions {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*device)(unsigned, Device*) = nullptr;
  int (*name)(Device, char*, unsigned) = nullptr;
  int (*utilization)(Device, Utilization*) = nullptr;
  int (*memory)(Device, Memory*) = nullptr;
  int (*power)(Device, unsigned*) = nullptr;
  int (*pcie)(Device, unsigned, unsigned*) = nullptr;
  int (*fields)(Device, int, FieldValue*) = nullptr;
};

std::unique_ptr<Nvml> Nvml::load(const std::string& library) {
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return nullptr;
  auto functions = std::make_unique<Functions>();
  const bool usable = find(handle, "nvmlInit_v2", functions->init) &&
                      find(handle, "nvmlShutdown", functions->shutdown) &&
                      find(handle, "nvmlDeviceGetCount_v2", functions->count) &&
                      find(handle, "nvmlDeviceGetHandleByIndex_v2", functions->device);
  if (!usable || functions->init() != kSuccess) {
    dlclose(handle);
    return nullptr;
  }
  find(handle, "nvmlDeviceGetName", functions->name);
  find(handle, "nvmlDeviceGetUtilizationRates", functions->utilization);
  find(handle, "nvmlDeviceGetMemoryInfo", functions->memory);
  find(handle, "nvmlDeviceGetPowerUsage", functions->power);
  find(handle, "nvmlDeviceGetPcieThroughput", functions->pcie);
  find(handle, "nvmlDeviceGetFieldValues", functions->fields);
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
  if (nvml.count(&count) != kSuccess) return readings;
  for (unsigned index = 0; index < count; ++index) {
    Device device = nullptr;
    if (nvml.device(index, &device) != kSuccess) continue;
    GpuReading reading;
    reading.index = static_cast<int>(index);
    char name[kNameBytes] = {};
    if (nvml.name && nvml.name(device, name, kNameBytes) == kSuccess) reading.name = name;
    Utilization utilization{};
    if (nvml.utilization && nvml.utilization(device, &utilization) == kSuccess)
      reading.utilization = utilization.gpu / 100.0;
    Memory memory{};
    if (nvml.memory && nvml.memory(device, &memory) == kSuccess) {
      reading.memory_used_bytes = static_cast<double>(memory.used);
      reading.memory_total_bytes = static_cast<double>(memory.total);
    }
    unsigned value = 0;
    if (nvml.power && nvml.power(device, &value) == kSuccess) reading.power_w = value / 1e3;
    if (nvml.pcie && nvml.pcie(device, kPcieSent, &value) == kSuccess)
      reading.pcie_sent_bytes_per_s = value * 1e3;
    if (nvml.pcie && nvml.pcie(device, kPcieReceived, &value) == kSuccess)
      reading.pcie_received_bytes_per_s = value * 1e3;
    FieldValue links[2] = {};
    links[0].field = kNvlinkSent;
    links[1].field = kNvlinkReceived;
    links[0].scope = links[1].scope = kAllLinks;
    if (nvml.fields && nvml.fields(device, 2, links) == kSuccess) {
      if (links[0].result == kSuccess) reading.nvlink_sent_bytes = number_of(links[0]) * kKib;
      if (links[1].result == kSuccess) reading.nvlink_received_bytes = number_of(links[1]) * kKib;
    }
    readings.push_back(std::move(reading));
  }
  return readings;
}

}  // namespace lockstep
