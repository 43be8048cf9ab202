// Inputs whose sum over ranks is known exactly, in every dtype and every order of addition.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lockstep {

// Rank r's element i is 0, 1 or 2, a hash of r and i mod 4093 (a prime, so that no chunk's length is a
// multiple of it). Small integers add up without rounding.
class SumPattern {
 public:
  // `repeated`: the sum is expected of an all-reduce whose inputs were results of one already. Throws
  // std::invalid_argument where `dtype` cannot hold the sum of so many ranks exactly.
  SumPattern(at::ScalarType dtype, int rank, int world_size, bool repeated);
  // `rank`'s input, which is expected to arrive as it is.
  static SumPattern of_rank(at::ScalarType dtype, int rank);

  // This rank's input for the elements offset .. offset+count.
  void fill(void* data, std::int64_t count, std::int64_t offset) const;
  // How many of them are not, to the bit, what the sum over ranks has to be, or the one rank's input.
  std::int64_t count_wrong(const void* data, std::int64_t count, std::int64_t offset) const;

 private:
  SumPattern() = default;

  at::Tensor input_;     // (2 periods), so that a period can be copied from any offset
  at::Tensor expected_;  // likewise
  std::int64_t element_bytes_ = 0;
};

}  // namespace lockstep
