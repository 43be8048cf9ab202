// The sum of a few rows in order kTree in one pass, which reads every row once: a CUDA kernel, and the same
// code on the CPU.
#pragma once

#include <c10/core/ScalarType.h>
#include <cuda_runtime_api.h>

#include <cstdint>

namespace lockstep {

inline constexpr int kTreeSumRows = 8;  // at most; a power of two, so that they are a subtree of more

// In elements of `dtype`. The output may be one of the rows.
struct TreeSumCall {
  c10::ScalarType dtype;
  void* output;
  const void* input;
  std::int64_t row_stride;
  std::int64_t elements;
  int rows;
};

// float32, float64, float16 and bfloat16; on the GPUs that this build has code for.
bool has_tree_sum(c10::ScalarType dtype);
bool has_tree_sum(c10::ScalarType dtype, int cuda_device);

// Both throw std::invalid_argument for other dtypes and numbers of rows.
void tree_sum_on_cpu(const TreeSumCall& call);
// Queues it on the current device. Throws c10::Error if CUDA refuses.
void queue_tree_sum(const TreeSumCall& call, cudaStream_t stream);

}  // namespace lockstep
