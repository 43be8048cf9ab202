#include "comm/fold.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/fold_kernels.h"

namespace lockstep {
namespace {

FoldKernel choose_kernel() {
#ifdef LOCKSTEP_X86_64_LEVELS
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512cd")) {
    return fold_v4::fold;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
      __builtin_cpu_supports("f16c")) {
    return fold_v3::fold;
  }
#endif
  return fold_default::fold;
}

FoldElement element_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return FoldElement::kFloat;
    case at::kDouble:
      return FoldElement::kDouble;
    case at::kHalf:
      return FoldElement::kHalf;
    case at::kBFloat16:
      return FoldElement::kBFloat16;
    case at::kInt:
      return FoldElement::kInt;
    case at::kLong:
      return FoldElement::kLong;
    case at::kByte:
      return FoldElement::kByte;
    default:
      throw std::invalid_argument(std::string("a reduction over ranks cannot take dtype ") +
                                  c10::toString(dtype));
  }
}

FoldOp op_of(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return FoldOp::kSum;
    case ReduceOp::kMax:
      return FoldOp::kMax;
    case ReduceOp::kMin:
      return FoldOp::kMin;
  }
  throw std::invalid_argument("a reduction that is none of sum, max and min");
}

// Small worlds need no heap.
using Pointers = c10::SmallVector<const void*, 16>;
using OutputPointers = c10::SmallVector<void*, 16>;

}  // namespace

void fold_inputs(std::span<void* const> outputs, std::span<const void* const> inputs, std::int64_t begin,
                 std::int64_t end, const FoldOptions& options) {
  if (begin >= end) return;
  static const FoldKernel kernel = choose_kernel();
  const auto offset = begin * static_cast<std::int64_t>(c10::elementSize(options.dtype));
  Pointers from;
  for (const void* input : inputs) from.push_back(static_cast<const char*>(input) + offset);
  OutputPointers to;
  for (void* output : outputs) to.push_back(static_cast<char*>(output) + offset);
  kernel({to.data(), static_cast<int>(to.size()), from.data(), static_cast<int>(from.size()), end - begin,
          element_of(options.dtype), op_of(options.op), options.order == ReductionOrder::kTree,
          options.scale});
}

void fold_ranks(std::span<void* const> outputs, std::span<const void* const> inputs, std::int64_t begin,
                std::int64_t end, const RingChunks& chunks, const FoldOptions& options) {
  const int world_size = static_cast<int>(inputs.size());
  // The order of two summands makes no difference.
  if (options.order == ReductionOrder::kTree || world_size <= 2) {
    return fold_inputs(outputs, inputs, begin, end, options);
  }
  Pointers ordered;
  while (begin < end) {
    const int chunk = static_cast<int>(begin / chunks.chunk_elements);
    ordered.clear();
    for (int hop = 1; hop <= world_size; ++hop) {
      ordered.push_back(inputs[static_cast<std::size_t>((chunk + world_size - hop) % world_size)]);
    }
    const std::int64_t stop = std::min(end, (chunk + 1) * chunks.chunk_elements);
    fold_inputs(outputs, {ordered.data(), ordered.size()}, begin, stop, options);
    begin = stop;
  }
}

}  // namespace lockstep
