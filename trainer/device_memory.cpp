#include "trainer/device_memory.h"

#include <c10/core/AllocatorConfig.h>
#include <c10/cuda/CUDACachingAllocator.h>

#include <cstddef>
#include <cstdlib>

namespace lockstep {
namespace {

namespace caching_allocator = c10::cuda::CUDACachingAllocator;

// In the order in which LibTorch looks for them.
constexpr const char* kAllocatorSettings[] = {"PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"};

// Of the pools for small and for large blocks together.
const c10::CachingAllocator::Stat& all_pools(const c10::CachingAllocator::StatArray& stats) {
  return stats[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
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

}  // namespace lockstep
