// Rows that show in which order they are added up, and their sum in order kTree.
#pragma once

#include <ATen/ATen.h>

#include "comm/sum_rows.h"

namespace lockstep::testing {

// (rows, elements) of very different sizes, so that the order shows in the last bits; on the CPU.
inline at::Tensor draw_rows(std::int64_t rows, std::int64_t elements, at::ScalarType dtype) {
  return at::randn({rows, elements}).mul(at::randn({rows, elements}).exp()).to(dtype);
}

// By the CPU's own kernels (comm/fold.h).
inline at::Tensor cpu_tree_sum(const at::Tensor& rows) {
  at::Tensor sum = at::empty({rows.size(1)}, rows.options());
  sum_rows(sum, rows.contiguous(), ReductionOrder::kTree);
  return sum;
}

}  // namespace lockstep::testing
