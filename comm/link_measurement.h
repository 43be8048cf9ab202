// The latency and bandwidth of a communicator's all-reduce, measured.
#pragma once

#include <ATen/core/Tensor.h>

#include "comm/bucket_caps.h"
#include "comm/communicator.h"

namespace lockstep {

// Some all-reduces of 16 KiB to 8 MiB in memory of `device`, the quickest of several rounds each, the first
// not counting; blocks. A collective. Every rank gets its own figures.
LinkModel measure_link(Communicator& communicator, at::Device device);

}  // namespace lockstep
