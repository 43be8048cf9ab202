// A GPU's memory, as LibTorch's caching allocator counts it.
#pragma once

#include <c10/core/Device.h>

#include "comm/communicator.h"
#include "trainer/metrics/peak_memory.h"

namespace lockstep {

// A GPU's, once something is on it, with what `communicator` holds beside the allocator.
PeakDeviceMemory peak_device_memory(at::Device device, const Communicator& communicator);

}  // namespace lockstep
