#include "comm/sum_rows.h"

#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "comm/fold.h"
#include "comm/reduction.h"
#include "comm/tree_sum.h"

namespace lockstep {
namespace {

// Of comm/tree_sum.h; on the CPU, where comm/fold.h is quicker, it serves the tests.
bool has_kernel(const at::Tensor& output, const at::Tensor& rows) {
  if (rows.stride(1) != 1 || output.stride(0) != 1) return false;
  return rows.is_cuda() ? has_tree_sum(rows.scalar_type(), rows.get_device())
                        : rows.is_cpu() && has_tree_sum(rows.scalar_type());
}

void queue_sum(const at::Tensor& output, const at::Tensor& rows) {
  const TreeSumCall call{rows.scalar_type(),    output.mutable_data_ptr(),
                         rows.const_data_ptr(), rows.stride(0),
                         rows.size(1),          static_cast<int>(rows.size(0))};
  if (rows.is_cpu()) return tree_sum_on_cpu(call);
  queue_tree_sum(call, c10::cuda::getCurrentCUDAStream(rows.get_device()));
}

// As many rows at a time as the kernel takes, which are a subtree; their sums are the next rows, and lie
// where `place_sums(rows)` says.
template <typename PlaceSums>
void queue_sums(const at::Tensor& output, at::Tensor rows, PlaceSums place_sums) {
  const c10::cuda::OptionalCUDAGuard guard(rows.is_cuda() ? std::optional(rows.device()) : std::nullopt);
  while (rows.size(0) > kTreeSumRows) {
    const at::Tensor sums = place_sums(rows);
    for (std::int64_t i = 0; i < sums.size(0); ++i) {
      const std::int64_t first = i * kTreeSumRows;
      queue_sum(sums[i], rows.narrow(0, first, std::min<std::int64_t>(kTreeSumRows, rows.size(0) - first)));
    }
    rows = sums;
  }
  queue_sum(output, rows);
}

// At distance d every other row of those that are sums of d takes its neighbour in: (0 1) (2 3) (4 5) 6, then
// (0 .. 3) (4 .. 6), then all. A list of ranks is thereby split at the largest power of two below its length.
void add_up_in_tree(const at::Tensor& output, const at::Tensor& rows) {
  const std::int64_t count = rows.size(0);
  for (std::int64_t distance = 1; distance < count; distance *= 2) {
    at::Tensor into = rows.slice(0, 0, count - distance, 2 * distance);
    into.add_(rows.slice(0, distance, count, 2 * distance));
  }
  if (output.data_ptr() != rows.data_ptr()) output.copy_(rows[0]);
}

}  // namespace

void sum_rows(at::Tensor output, const at::Tensor& rows, ReductionOrder order) {
  if (rows.is_cuda() && order == ReductionOrder::kTree && has_kernel(output, rows)) {
    return queue_sums(output, rows, [](const at::Tensor& all) {
      return at::empty({(all.size(0) + kTreeSumRows - 1) / kTreeSumRows, all.size(1)}, all.options());
    });
  }
  if (!rows.is_cpu()) return sum_rows_by_operators(std::move(output), rows, order);
  const auto element_bytes = static_cast<std::int64_t>(rows.element_size());
  const auto world_size = static_cast<int>(rows.size(0));
  const RingChunks chunks = ring_chunks(rows.size(1), element_bytes, world_size);
  const auto* first = static_cast<const std::byte*>(rows.const_data_ptr());
  std::vector<const void*> inputs;
  for (int r = 0; r < world_size; ++r) inputs.push_back(first + r * rows.size(1) * element_bytes);
  void* const into = output.mutable_data_ptr();
  fold_ranks({&into, 1}, inputs, 0, rows.size(1), chunks, {.dtype = rows.scalar_type(), .order = order});
}

void sum_rows_by_operators(at::Tensor output, const at::Tensor& rows, ReductionOrder order) {
  if (order == ReductionOrder::kTree) return add_up_in_tree(output, rows.clone());
  const std::int64_t world_size = rows.size(0);
  const RingChunks chunks =
      ring_chunks(rows.size(1), static_cast<std::int64_t>(rows.element_size()), static_cast<int>(world_size));
  for (int chunk = 0; chunks.begin(chunk) < chunks.count; ++chunk) {
    const std::int64_t begin = chunks.begin(chunk);
    const at::Tensor part = rows.narrow(1, begin, chunks.end(chunk) - begin);
    at::Tensor sum = part[(chunk + world_size - 1) % world_size];
    for (std::int64_t hop = 2; hop <= world_size; ++hop)
      sum = at::add(sum, part[(chunk + 2 * world_size - hop) % world_size]);
    output.narrow(0, begin, part.size(1)).copy_(sum);
  }
}

void sum_rows_in_tree(at::Tensor output, const at::Tensor& rows) {
  if (rows.size(0) == 1 && output.data_ptr() == rows.data_ptr()) return;
  if (!has_kernel(output, rows)) return add_up_in_tree(output, rows);
  queue_sums(output, rows, [](const at::Tensor& all) { return all.slice(0, 0, all.size(0), kTreeSumRows); });
}

void check_rows(const at::Tensor& output, const at::Tensor& rows, const char* collective) {
  check_collective_tensor(output, collective);
  check_collective_tensor(rows, collective);
  if (rows.dim() != 2 || rows.size(0) < 1 || output.dim() != 1 || output.size(0) != rows.size(1) ||
      output.scalar_type() != rows.scalar_type() || output.device() != rows.device()) {
    throw std::invalid_argument(std::string(collective) +
                                " needs rows (K, n), K >= 1, and an output (n) of their dtype and device");
  }
}

}  // namespace lockstep
