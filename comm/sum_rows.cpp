#include "comm/sum_rows.h"

#include <ATen/ops/add.h>
#include <c10/core/ScalarType.h>

#include <bit>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "comm/fold.h"
#include "comm/reduction.h"

namespace lockstep {
namespace {

// Rows [begin, end) as a balanced tree: split at the largest power of two below their number, as
// fold_inputs() does.
at::Tensor tree_sum(const at::Tensor& rows, std::int64_t begin, std::int64_t end) {
  if (end - begin == 1) return rows[begin];
  const auto half = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(end - begin - 1)));
  return at::add(tree_sum(rows, begin, begin + half), tree_sum(rows, begin + half, end));
}

}  // namespace

void sum_rows(at::Tensor output, const at::Tensor& rows, ReductionOrder order) {
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
  const std::int64_t world_size = rows.size(0);
  if (order == ReductionOrder::kTree) {
    output.copy_(tree_sum(rows, 0, world_size));
    return;
  }
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
