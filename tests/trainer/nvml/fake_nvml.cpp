// A libnvidia-ml.so for tests: two GPUs, of which the second says little. FAKE_NVML_INIT is what nvmlInit_v2
// returns; FAKE_NVML_CUDA the CUDA version that the driver knows; FAKE_NVML_SICK slows the first GPU down,
// narrows its slot and forbids both to read each other's memory.
#include <cstdlib>
#include <cstring>

extern "C" {

static int gpus[2] = {0, 1};
constexpr int kNotSupported = 3;

int nvmlInit_v2() {
  const char* result = std::getenv("FAKE_NVML_INIT");
  return result == nullptr ? 0 : std::atoi(result);
}
int nvmlShutdown() {
  return 0;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = 2;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  *device = &gpus[index];
  return 0;
}
int nvmlDeviceGetName(int* device, char* name, unsigned length) {
  std::strncpy(name, *device == 0 ? "NVIDIA \"H200\"" : "old", length);
  return 0;
}
int nvmlDeviceGetUtilizationRates(int* device, unsigned* gpu_and_memory) {
  if (*device == 1) return kNotSupported;
  gpu_and_memory[0] = 87;
  gpu_and_memory[1] = 12;
  return 0;
}
int nvmlDeviceGetMemoryInfo(int* device, unsigned long long* total_free_used) {
  const unsigned long long gib = 1ULL << 30;
  total_free_used[0] = (*device == 0 ? 141 : 16) * gib;
  total_free_used[1] = gib;
  total_free_used[2] = total_free_used[0] - gib;
  return 0;
}
int nvmlDeviceGetPowerUsage(int* device, unsigned* milliwatts) {
  *milliwatts = 693500;
  return *device == 0 ? 0 : kNotSupported;
}
int nvmlDeviceGetPcieThroughput(int* device, unsigned counter, unsigned* kilobytes_per_s) {
  *kilobytes_per_s = counter == 0 ? 1500 : 2500;
  return *device == 0 ? 0 : kNotSupported;
}

struct FieldValue {
  unsigned field, scope;
  long long timestamp, latency_us;
  int value_type, result;
  unsigned long long value;
};
int nvmlDeviceGetFieldValues(int* device, int count, FieldValue* values) {
  for (int i = 0; i < count; ++i) {
    values[i].result = *device == 0 && values[i].scope == ~0U ? 0 : kNotSupported;
    values[i].value_type = 3;
    values[i].value = values[i].field == 138 ? 1024 : 2048;
  }
  return 0;
}

static bool sick() {
  return std::getenv("FAKE_NVML_SICK") != nullptr;
}
static int answer(int* device, unsigned* value, unsigned number) {
  *value = number;
  return *device == 0 ? 0 : kNotSupported;
}
int nvmlSystemGetDriverVersion(char* version, unsigned length) {
  std::strncpy(version, "580.95.05", length);
  return 0;
}
int nvmlSystemGetCudaDriverVersion_v2(int* version) {
  const char* told = std::getenv("FAKE_NVML_CUDA");
  *version = told == nullptr ? 13000 : std::atoi(told);
  return 0;
}
int nvmlDeviceGetCudaComputeCapability(int* device, int* major, int* minor) {
  *major = *device == 0 ? 9 : 7;
  *minor = *device == 0 ? 0 : 5;
  return 0;
}
struct PciInfo {
  char legacy[16];
  unsigned domain, bus, device, id, subsystem;
  char address[32];
};
int nvmlDeviceGetPciInfo_v3(int* device, PciInfo* info) {
  info->domain = 0;
  info->bus = *device == 0 ? 0x1b : 0x43;
  info->device = 0;
  return 0;
}
int nvmlDeviceGetNvLinkState(int* device, unsigned link, unsigned* active) {
  return answer(device, active, link < 4 ? 1 : 0);
}
int nvmlDeviceGetMaxPcieLinkGeneration(int* device, unsigned* generation) {
  return answer(device, generation, 5);
}
int nvmlDeviceGetCurrPcieLinkWidth(int* device, unsigned* width) {
  return answer(device, width, sick() ? 4 : 16);
}
int nvmlDeviceGetMaxPcieLinkWidth(int* device, unsigned* width) {
  return answer(device, width, 16);
}
int nvmlDeviceGetClockInfo(int* device, unsigned /*clock*/, unsigned* mhz) {
  return answer(device, mhz, 345);
}
int nvmlDeviceGetApplicationsClock(int* device, unsigned /*clock*/, unsigned* mhz) {
  return answer(device, mhz, sick() ? 990 : 1980);
}
int nvmlDeviceGetMaxClockInfo(int* device, unsigned /*clock*/, unsigned* mhz) {
  return answer(device, mhz, 1980);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(int* device, unsigned long long* reasons) {
  *reasons = sick() ? 0x40 : 0x1;
  return *device == 0 ? 0 : kNotSupported;
}
int nvmlDeviceGetPersistenceMode(int* device, int* mode) {
  *mode = sick() ? 0 : 1;
  return *device == 0 ? 0 : kNotSupported;
}
int nvmlDeviceGetTopologyCommonAncestor(int* /*first*/, int* /*second*/, int* level) {
  *level = 30;
  return 0;
}
int nvmlDeviceGetP2PStatus(int* /*first*/, int* /*second*/, int /*capability*/, int* status) {
  *status = sick() ? 2 : 0;
  return 0;
}
}
