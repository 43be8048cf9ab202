// A libnvidia-ml.so for tests: two GPUs, of which the second says little. FAKE_NVML_INIT is what nvmlInit_v2
// returns.
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
}
