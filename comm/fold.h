// Sums (or maxima, minima) of several ranks' elements on the CPU, in one pass over all of them: the kernels
// of the shared-memory collectives and of the averaging of gradients.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

#include "comm/communicator.h"
#include "comm/reduction.h"

namespace lockstep {

// What is folded, and how.
struct FoldOptions {
  at::ScalarType dtype = at::kFloat;
  ReduceOp op = ReduceOp::kSum;
  ReductionOrder order = ReductionOrder::kPytorch;  // kFast is kPytorch here
  // Each input is multiplied by it, rounded to dtype, before it is added: floating-point dtypes only.
  double scale = 1.0;
};

// For each i in [begin, end) and each k: outputs[k][i] = fold over ranks r of inputs[r][i] * scale. Pointers
// are to element 0. An output may be one of the inputs. Order kPytorch: from the left over ranks c-1, c-2,
// ..., c (mod W), c being the chunk of `chunks` that holds i. Order kTree: halves of the list of ranks, split
// at the largest power of two below its length, the same for every i. Throws std::invalid_argument for a
// dtype that Communicator does not list.
void fold_ranks(std::span<void* const> outputs, std::span<const void* const> inputs, std::int64_t begin,
                std::int64_t end, const RingChunks& chunks, const FoldOptions& options);

// The same where the order is the order of `inputs`, whatever i is: a left fold, or the tree over the list.
void fold_inputs(std::span<void* const> outputs, std::span<const void* const> inputs, std::int64_t begin,
                 std::int64_t end, const FoldOptions& options);

}  // namespace lockstep
