// Element-wise reductions for every dtype a communicator takes. Half precision is widened, added and rounded
// once per operand, as Gloo does, so that the bits are PyTorch's.
#include "comm/reduction.h"

#include <c10/core/ScalarType.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace lockstep {
namespace {

constexpr std::int64_t kMaxSegmentBytes = 1 << 20;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

template <typename T>
void reduce_typed(void* into_bytes, const void* from_bytes, std::int64_t count, ReduceOp op) {
  T* __restrict into = static_cast<T*>(into_bytes);
  const T* __restrict from = static_cast<const T*>(from_bytes);
  switch (op) {
    case ReduceOp::kSum:
      for (std::int64_t i = 0; i < count; ++i) into[i] = static_cast<T>(into[i] + from[i]);
      return;
    case ReduceOp::kMax:
      for (std::int64_t i = 0; i < count; ++i) into[i] = into[i] < from[i] ? from[i] : into[i];
      return;
    case ReduceOp::kMin:
      for (std::int64_t i = 0; i < count; ++i) into[i] = from[i] < into[i] ? from[i] : into[i];
      return;
  }
}

}  // namespace

RingChunks ring_chunks(std::int64_t count, std::int64_t element_bytes, int world_size) {
  const std::int64_t bytes = count * element_bytes;
  const std::int64_t full_segments = (bytes + kMaxSegmentBytes - 1) / kMaxSegmentBytes;
  const std::int64_t segments =
      round_up(std::max<std::int64_t>(full_segments, 2 * static_cast<std::int64_t>(world_size)), world_size);
  const std::int64_t segment_bytes = round_up((bytes + segments - 1) / segments, element_bytes);
  return {segments / world_size * (segment_bytes / element_bytes), count};
}

void reduce_into(void* into, const void* from, std::int64_t count, at::ScalarType dtype, ReduceOp op) {
  switch (dtype) {
    case at::kFloat:
      return reduce_typed<float>(into, from, count, op);
    case at::kDouble:
      return reduce_typed<double>(into, from, count, op);
    case at::kHalf:
      return reduce_typed<c10::Half>(into, from, count, op);
    case at::kBFloat16:
      return reduce_typed<c10::BFloat16>(into, from, count, op);
    case at::kInt:
      return reduce_typed<std::int32_t>(into, from, count, op);
    case at::kLong:
      return reduce_typed<std::int64_t>(into, from, count, op);
    case at::kByte:
      return reduce_typed<std::uint8_t>(into, from, count, op);
    default:
      throw std::invalid_argument(std::string("a reduction over ranks cannot take dtype ") +
                                  c10::toString(dtype));
  }
}

void reduce_in_ring_order(void* output, std::span<const void* const> inputs, std::int64_t count,
                          at::ScalarType dtype, ReduceOp op) {
  const int world_size = static_cast<int>(inputs.size());
  const auto element_bytes = static_cast<std::int64_t>(c10::elementSize(dtype));
  const RingChunks chunks = ring_chunks(count, element_bytes, world_size);
  std::vector<char> sum(static_cast<std::size_t>(chunks.chunk_elements * element_bytes));
  for (int chunk = 0; chunk < world_size; ++chunk) {
    const std::int64_t begin = chunks.begin(chunk);
    const std::int64_t elements = chunks.end(chunk) - begin;
    if (elements == 0) continue;
    const std::int64_t offset = begin * element_bytes;
    const auto input_of = [&](int rank) {
      return static_cast<const char*>(inputs[static_cast<std::size_t>(rank)]) + offset;
    };
    std::memcpy(sum.data(), input_of((chunk + world_size - 1) % world_size),
                static_cast<std::size_t>(elements * element_bytes));
    for (int hop = 2; hop <= world_size; ++hop) {
      reduce_into(sum.data(), input_of((chunk + 2 * world_size - hop) % world_size), elements, dtype, op);
    }
    std::memcpy(static_cast<char*>(output) + offset, sum.data(),
                static_cast<std::size_t>(elements * element_bytes));
  }
}

std::string describe_collective(const std::string& name, std::uint64_t sequence, at::ScalarType dtype,
                                std::int64_t count) {
  return name + " #" + std::to_string(sequence) + " (" + c10::toString(dtype) + "[" + std::to_string(count) +
         "])";
}

void check_collective_tensor(const at::Tensor& tensor, const char* collective) {
  const auto refuse = [&](const std::string& why) {
    throw std::invalid_argument(std::string(collective) + " needs a dense, contiguous tensor; this one " +
                                why);
  };
  if (!tensor.defined()) refuse("is undefined");
  if (tensor.layout() != at::kStrided) refuse("is sparse");
  if (!tensor.is_contiguous()) refuse("is not contiguous");
  switch (tensor.scalar_type()) {
    case at::kFloat:
    case at::kDouble:
    case at::kHalf:
    case at::kBFloat16:
    case at::kInt:
    case at::kLong:
    case at::kByte:
      return;
    default:
      refuse(std::string("has dtype ") + c10::toString(tensor.scalar_type()));
  }
}

void check_collective_blocks(const at::Tensor& block, const at::Tensor& blocks, int world_size,
                             const char* collective) {
  check_collective_tensor(block, collective);
  check_collective_tensor(blocks, collective);
  if (block.scalar_type() != blocks.scalar_type() || block.device() != blocks.device() ||
      block.numel() * world_size != blocks.numel()) {
    throw std::invalid_argument(std::string(collective) + " over " + std::to_string(world_size) +
                                " ranks needs one tensor of n and one of " + std::to_string(world_size) +
                                " * n elements, of one dtype on one device; these have " +
                                std::to_string(block.numel()) + " and " + std::to_string(blocks.numel()));
  }
}

}  // namespace lockstep
