#include "trainer/device_memory.h"

#include <c10/cuda/CUDACachingAllocator.h>

#include <cstddef>

namespace lockstep {
namespace {

namespace caching_allocator = c10::cuda::CUDACachingAllocator;

// Of the pools for small and for large blocks together.
const c10::CachingAllocator::Stat& all_pools(const c10::CachingAllocator::StatArray& stats) {
  return stats[static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE)];
}

}  // namespace

PeakDeviceMemory peak_device_memory(at::Device device, const Communicator& communicator) {
  const auto stats = caching_allocator::getDeviceStats(device.index());
  const auto beside = static_cast<double>(communicator.allocated_bytes());
  return {.allocated_bytes = static_cast<double>(all_pools(stats.allocated_bytes).peak) + beside,
          .reserved_bytes = static_cast<double>(all_pools(stats.reserved_bytes).peak) + beside};
}

}  // namespace lockstep
