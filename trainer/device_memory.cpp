#include "trainer/device_memory.h"

#include <c10/core/AllocatorConfig.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <utility>

namespace lockstep {
namespace {

namespace caching_allocator = c10::cuda::CUDACachingAllocator;

// In the order in which LibTorch looks for them.
constexpr const char* kAllocatorSettings[] = {"PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"};

// The observer that is told of failures lives as long as the process, on whichever thread allocates.
struct LastFailure {
  std::mutex mutex;
  std::optional<FailedAllocation> failure;
};

LastFailure& last_failure() {
  static LastFailure last;
  return last;
}

// Of the pools for small and for large blocks together.
const c10::CachingAllocator::Stat& all_pools(const c10::CachingAllocator::StatArray& stats) {
  return stats[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
}

void record_failure(std::int64_t device, std::size_t asked_for, std::size_t device_total,
                    std::size_t device_free) {
  const auto stats = caching_allocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
  const auto& allocated = all_pools(stats.allocated_bytes);
  LastFailure& last = last_failure();
  const std::scoped_lock lock(last.mutex);
  last.failure = {.asked_for = static_cast<double>(asked_for),
                  .device_total = static_cast<double>(device_total),
                  .device_free = static_cast<double>(device_free),
                  .reserved = static_cast<double>(all_pools(stats.reserved_bytes).current),
                  .allocated = static_cast<double>(allocated.current),
                  .peak_allocated = static_cast<double>(allocated.peak)};
}

}  // namespace

std::string set_cuda_allocator(bool expandable_segments) {
  for (const char* variable : kAllocatorSettings) {
    const char* value = std::getenv(variable);
    if (value == nullptr) continue;
    return std::string("GPU memory is taken as ") + variable + "=" + value + " says" +
           (expandable_segments ? ", which --expandable-segments leaves as it is" : "");
  }
  if (!expandable_segments) return "";
  c10::CachingAllocator::setAllocatorSettings("expandable_segments:True");
  return "GPU memory is taken in segments that grow (--expandable-segments)";
}

bool has_expandable_segments() {
  return c10::CachingAllocator::AcceleratorAllocatorConfig::use_expandable_segments();
}

PeakDeviceMemory peak_device_memory(at::Device device, const Communicator& communicator) {
  const auto stats = caching_allocator::getDeviceStats(device.index());
  const auto beside = static_cast<double>(communicator.allocated_bytes());
  return {.allocated_bytes = static_cast<double>(all_pools(stats.allocated_bytes).peak) + beside,
          .reserved_bytes = static_cast<double>(all_pools(stats.reserved_bytes).peak) + beside};
}

double allocated_device_bytes(at::Device device) {
  return static_cast<double>(
      all_pools(caching_allocator::getDeviceStats(device.index()).allocated_bytes).current);
}

void record_failed_allocations() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (caching_allocator::name() == "native") caching_allocator::attachOutOfMemoryObserver(record_failure);
  });
}

std::optional<FailedAllocation> take_failed_allocation() {
  LastFailure& last = last_failure();
  const std::scoped_lock lock(last.mutex);
  return std::exchange(last.failure, std::nullopt);
}

}  // namespace lockstep
