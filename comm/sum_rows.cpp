#include "comm/sum_rows.h"

#include <ATen/ops/add.h>
#include <c10/core/ScalarType.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "comm/fold.h"
#include "comm/reduction.h"

namespace lockstep {

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
    const at::Tensor sums = rows.clone();
    sum_rows_in_place(sums);
    output.copy_(sums[0]);
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

// At distance d every other row of those that are sums of d takes its neighbour in: (0 1) (2 3) (4 5) 6, then
// (0 .. 3) (4 .. 6), then all. A list of ranks is thereby split at the largest power of two below its length.
void sum_rows_in_place(const at::Tensor& rows) {
  const std::int64_t count = rows.size(0);
  for (std::int64_t distance = 1; distance < count; distance *= 2) {
    at::Tensor into = rows.slice(0, 0, count - distance, 2 * distance);
    into.add_(rows.slice(0, distance, count, 2 * distance));
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
