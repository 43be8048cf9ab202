// Whether and how an update can be done in one pass with LibTorch's bits. Not for use outside this folder.
#pragma once

#include <ATen/Parallel.h>
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

// Calls `run(begin, end)` for ranges of [0, count), on LibTorch's threads where that pays.
template <typename Run>
void in_parallel(std::int64_t count, Run run) {
  constexpr std::int64_t kGrain = 32768;  // as LibTorch's element-wise kernels
  if (count <= kGrain || at::get_num_threads() == 1 || at::in_parallel_region()) return run(0, count);
  at::parallel_for(0, count, kGrain, run);
}

}  // namespace lockstep
