// Order kTree over rows, for one thread of many: the same code on a GPU and on the CPU.
#pragma once

#include <c10/macros/Macros.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "comm/tree_sum.h"

namespace lockstep {

inline constexpr int kTreeSumPackBytes = 16;  // what a GPU loads at once

// `rows` rows of `elements`, which begin `row_stride` elements apart. The output may be one of them.
template <typename T>
struct TreeSum {
  T* output;
  const T* input;
  std::int64_t row_stride;
  std::int64_t elements;
  int rows;
};

template <typename T, int kLanes>
struct alignas(sizeof(T) * kLanes) TreeSumPack {
  T lanes[kLanes];
};

// Elements [kLanes * pack, kLanes * (pack + 1)). At distance d every other row of those that are sums of d
// takes its neighbour in, as in sum_rows_in_tree(). LibTorch's `+` of 16-bit types adds in float32 and rounds
// each sum, as its operators do.
template <int kLanes, typename T>
C10_HOST_DEVICE inline void add_up_pack(const TreeSum<T>& sum, std::int64_t pack) {
  using Pack = TreeSumPack<T, kLanes>;
  Pack packs[kTreeSumRows];
  for (int row = 0; row < kTreeSumRows; ++row) {
    if (row < sum.rows) packs[row] = reinterpret_cast<const Pack*>(sum.input + row * sum.row_stride)[pack];
  }
  for (int distance = 1; distance < kTreeSumRows; distance *= 2) {
    for (int row = 0; row + distance < kTreeSumRows; row += 2 * distance) {
      if (row + distance >= sum.rows) continue;
      for (int lane = 0; lane < kLanes; ++lane)
        packs[row].lanes[lane] = packs[row].lanes[lane] + packs[row + distance].lanes[lane];
    }
  }
  reinterpret_cast<Pack*>(sum.output)[pack] = packs[0];
}

// What thread `thread` of `threads` adds up: packs, and the elements behind the last whole pack one by one.
template <int kLanes, typename T>
C10_HOST_DEVICE inline void add_up_share(const TreeSum<T>& sum, std::int64_t thread, std::int64_t threads) {
  const std::int64_t packs = sum.elements / kLanes;
  for (std::int64_t pack = thread; pack < packs; pack += threads) add_up_pack<kLanes>(sum, pack);
  for (std::int64_t element = packs * kLanes + thread; element < sum.elements; element += threads)
    add_up_pack<1>(sum, element);
}

template <typename T, typename Run>
void run_tree_sum_of(const TreeSumCall& call, const Run& run) {
  constexpr int kLanes = kTreeSumPackBytes / static_cast<int>(sizeof(T));
  const TreeSum<T> sum{static_cast<T*>(call.output), static_cast<const T*>(call.input), call.row_stride,
                       call.elements, call.rows};
  const auto is_aligned = [](const void* data) {
    return reinterpret_cast<std::uintptr_t>(data) % kTreeSumPackBytes == 0;
  };
  if (is_aligned(call.output) && is_aligned(call.input) && call.row_stride % kLanes == 0) {
    run.template operator()<kLanes>(sum);
  } else {
    run.template operator()<1>(sum);
  }
}

// Calls run.operator()<kLanes>(TreeSum<T>), with packs where they are aligned.
template <typename Run>
void run_tree_sum(const TreeSumCall& call, const Run& run) {
  if (call.rows < 1 || call.rows > kTreeSumRows)
    throw std::invalid_argument("a tree_sum takes 1 to " + std::to_string(kTreeSumRows) + " rows");
  if (call.elements == 0) return;
  switch (call.dtype) {
    case c10::kFloat:
      return run_tree_sum_of<float>(call, run);
    case c10::kDouble:
      return run_tree_sum_of<double>(call, run);
    case c10::kHalf:
      return run_tree_sum_of<c10::Half>(call, run);
    case c10::kBFloat16:
      return run_tree_sum_of<c10::BFloat16>(call, run);
    default:
      throw std::invalid_argument("there is no tree_sum of this dtype");
  }
}

}  // namespace lockstep
