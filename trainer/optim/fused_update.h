// Whether and how an update can be done in one pass with LibTorch's bits. Not for use outside this folder.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <initializer_list>

#include "trainer/optim/update_kernels.h"

namespace lockstep {

// The kernels that round as LibTorch's do on this processor.
const UpdateKernels& update_kernels();

// Whether all of them are float32 on the CPU and lie in memory in the same order without gaps.
bool can_fuse(std::initializer_list<at::Tensor> tensors);

// (n) float32, of both signs and many magnitudes, n a multiple of no vector length: what kernels are compared
// on.
at::Tensor test_values(std::uint64_t seed);

}  // namespace lockstep
