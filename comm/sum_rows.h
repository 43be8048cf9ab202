// Sums of tensors that lie together as rows, in the orders of the collectives.
#pragma once

#include <ATen/core/Tensor.h>

#include "comm/communicator.h"

namespace lockstep {

// `output` (n), which may be one of them, becomes the sum of `rows` (L, n) as L ranks' all-reduce in `order`
// would give it (comm/fold.h), on any device.
void sum_rows(at::Tensor output, const at::Tensor& rows, ReductionOrder order);
// The same by LibTorch's operators.
void sum_rows_by_operators(at::Tensor output, const at::Tensor& rows, ReductionOrder order);
// `output` (n), which may be one of them, becomes the sum of `rows` (L, n) in order kTree, on any device: by
// a kernel of ours (comm/tree_sum.h) where there is one, else with one operator for each level of the tree.
// What the rows hold afterwards is undefined. They need not lie side by side.
void sum_rows_in_tree(at::Tensor output, const at::Tensor& rows);

// Throws std::invalid_argument, naming `collective`, unless `rows` is (K, n) with K >= 1 and `output` (n), of
// one dtype and device, both dense and contiguous.
void check_rows(const at::Tensor& output, const at::Tensor& rows, const char* collective);

}  // namespace lockstep
