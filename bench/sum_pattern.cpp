#include "bench/sum_pattern.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace lockstep {
namespace {

constexpr std::int64_t kPeriod = 4093;
constexpr std::int64_t kLargestValue = 2;

std::int64_t value_of(int rank, std::int64_t index) {
  // A multiplicative hash (Knuth, TAOCP 6.4) of both, its high bits.
  const auto mixed = static_cast<std::uint64_t>(index * 131 + rank * 7919 + 1) * 0x9E3779B97F4A7C15ull;
  return static_cast<std::int64_t>(mixed >> 40) % (kLargestValue + 1);
}

// The largest integer up to which `dtype` holds every one.
std::int64_t exact_up_to(at::ScalarType dtype) {
  switch (dtype) {
    case at::kByte:
      return 255;
    case at::kBFloat16:
      return 1 << 8;
    case at::kHalf:
      return 1 << 11;
    default:
      return 1 << 24;
  }
}

// Calls visit(byte offset in the data, byte offset in a pattern, bytes) for runs of at most a period.
template <class Visit>
void for_each_run(std::int64_t count, std::int64_t offset, std::int64_t element_bytes, const Visit& visit) {
  const std::int64_t start = offset % kPeriod * element_bytes;
  for (std::int64_t done = 0; done < count; done += kPeriod) {
    visit(done * element_bytes, start, std::min(kPeriod, count - done) * element_bytes);
  }
}

}  // namespace

SumPattern::SumPattern(at::ScalarType dtype, int rank, int world_size, bool repeated) {
  const std::int64_t factor = repeated ? world_size : 1;
  if (kLargestValue * world_size * factor > exact_up_to(dtype)) {
    throw std::invalid_argument("sums of " + std::to_string(world_size) + " ranks cannot be checked in " +
                                at::toString(dtype) + ", which holds whole numbers up to " +
                                std::to_string(exact_up_to(dtype)) + " only; use float32");
  }
  at::Tensor input = at::zeros({2 * kPeriod}, at::TensorOptions().dtype(at::kLong));
  at::Tensor expected = at::zeros_like(input);
  for (std::int64_t i = 0; i < 2 * kPeriod; ++i) {
    input.mutable_data_ptr<std::int64_t>()[i] = value_of(rank, i % kPeriod);
    for (int peer = 0; peer < world_size; ++peer) {
      expected.mutable_data_ptr<std::int64_t>()[i] += value_of(peer, i % kPeriod) * factor;
    }
  }
  input_ = input.to(dtype);
  expected_ = expected.to(dtype);
  element_bytes_ = static_cast<std::int64_t>(input_.element_size());
}

SumPattern SumPattern::of_rank(at::ScalarType dtype, int rank) {
  at::Tensor input = at::zeros({2 * kPeriod}, at::TensorOptions().dtype(at::kLong));
  for (std::int64_t i = 0; i < 2 * kPeriod; ++i)
    input.mutable_data_ptr<std::int64_t>()[i] = value_of(rank, i % kPeriod);
  SumPattern pattern;
  pattern.input_ = input.to(dtype);
  pattern.expected_ = pattern.input_;
  pattern.element_bytes_ = static_cast<std::int64_t>(pattern.input_.element_size());
  return pattern;
}

void SumPattern::fill(void* data, std::int64_t count, std::int64_t offset) const {
  const auto* pattern = static_cast<const char*>(input_.const_data_ptr());
  for_each_run(count, offset, element_bytes_, [&](std::int64_t at, std::int64_t from, std::int64_t bytes) {
    std::memcpy(static_cast<char*>(data) + at, pattern + from, static_cast<std::size_t>(bytes));
  });
}

std::int64_t SumPattern::count_wrong(const void* data, std::int64_t count, std::int64_t offset) const {
  const auto* pattern = static_cast<const char*>(expected_.const_data_ptr());
  const auto width = static_cast<std::size_t>(element_bytes_);
  std::int64_t wrong = 0;
  for_each_run(count, offset, element_bytes_, [&](std::int64_t at, std::int64_t from, std::int64_t bytes) {
    const char* found = static_cast<const char*>(data) + at;
    if (std::memcmp(found, pattern + from, static_cast<std::size_t>(bytes)) == 0) return;
    for (std::int64_t i = 0; i < bytes; i += element_bytes_) {
      wrong += std::memcmp(found + i, pattern + from + i, width) != 0 ? 1 : 0;
    }
  });
  return wrong;
}

}  // namespace lockstep
