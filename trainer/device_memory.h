// A GPU's memory, of which LibTorch's caching allocator has charge: how it is to take it, and what it counts.
#pragma once

#include <c10/core/Device.h>

#include <string>

#include "comm/communicator.h"
#include "trainer/metrics/peak_memory.h"

namespace lockstep {

// --expandable-segments, to be called before anything is on the GPU. LibTorch reads PYTORCH_CUDA_ALLOC_CONF,
// or else PYTORCH_ALLOC_CONF, by itself: where one of them is set, it holds. Returns one line for the user,
// empty where the allocator is as LibTorch has it.
std::string set_cuda_allocator(bool expandable_segments);
bool has_expandable_segments();

// A GPU's, once something is on it, with what `communicator` holds beside the allocator.
PeakDeviceMemory peak_device_memory(at::Device device, const Communicator& communicator);

}  // namespace lockstep
