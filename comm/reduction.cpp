#include "comm/reduction.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr std::int64_t kMaxSegmentBytes = 1 << 20;
constexpr std::int64_t kCacheLineBytes = 64;

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
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

Part part_of(std::int64_t count, std::int64_t element_bytes, int rank, int world_size) {
  const std::int64_t per_line = std::max<std::int64_t>(kCacheLineBytes / element_bytes, 1);
  const std::int64_t lines = (count + per_line - 1) / per_line;
  const auto cut = [&](int r) { return std::min(count, lines * r / world_size * per_line); };
  return {cut(rank), cut(rank + 1)};
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

void check_root(int root, int world_size) {
  if (root >= 0 && root < world_size) return;
  throw std::invalid_argument("broadcast from rank " + std::to_string(root) + " of " +
                              std::to_string(world_size) + " ranks");
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

void check_send_receive(const at::Tensor& output, const at::Tensor& input) {
  check_collective_tensor(output, "send_receive");
  check_collective_tensor(input, "send_receive");
  const auto* to = static_cast<const char*>(output.const_data_ptr());
  const auto* from = static_cast<const char*>(input.const_data_ptr());
  const bool apart = to + output.nbytes() <= from || from + input.nbytes() <= to;
  if (output.scalar_type() != input.scalar_type() || output.device() != input.device() ||
      output.numel() != input.numel() || !apart) {
    throw std::invalid_argument(
        "send_receive needs two tensors of as many elements, of one dtype on one device, that share no "
        "memory; "
        "these have " +
        std::to_string(output.numel()) + " and " + std::to_string(input.numel()));
  }
}

}  // namespace lockstep
