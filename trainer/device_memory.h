// A GPU's memory, of which LibTorch's caching allocator has charge: how it is to take it, and what it counts.
#pragma once

#include <c10/core/Device.h>

#include <optional>
#include <string>

#include "comm/communicator.h"
#include "trainer/metrics/peak_memory.h"

namespace lockstep {

// --expandable-segments, to be called before anything is on the GPU. LibTorch reads PYTORCH_CUDA_ALLOC_CONF,
// or else PYTORCH_ALLOC_CONF, by itself: where one of them is set, it holds. Returns one line for the user,
// empty where the allocator is as LibTorch has it.
std::string set_cuda_allocator(bool expandable_segments);
bool has_expandable_segments();

// What the allocator had when it found no room, bytes.
struct FailedAllocation {
  double asked_for = 0.0;
  double device_total = 0.0;
  double device_free = 0.0;     // taken by no process
  double reserved = 0.0;        // taken from the device by this process's allocator
  double allocated = 0.0;       // of that, in tensors
  double peak_allocated = 0.0;  // until then
};

// The next three are for a GPU, once something is on it. The peak is with what `communicator` holds beside
// the allocator.
PeakDeviceMemory peak_device_memory(at::Device device, const Communicator& communicator);
double allocated_device_bytes(at::Device device);
// From now on, and not where PYTORCH_CUDA_ALLOC_CONF has chosen an allocator that tells nothing.
void record_failed_allocations();
// The last one since this was asked; on the CPU none.
std::optional<FailedAllocation> take_failed_allocation();

}  // namespace lockstep
