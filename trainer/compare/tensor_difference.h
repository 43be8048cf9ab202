// In what two sets of named tensors differ, bit by bit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/checkpoint/named_tensors.h"

namespace lockstep {

// One element in two sets.
struct ElementPair {
  std::string tensor;
  std::vector<std::int64_t> index;
  double a = 0.0;
  double b = 0.0;
};

// Elements differ when their bits do, so 0 and -0 differ, by 0 ulps. An ulp is a step to the next number of
// the dtype; of integers it is 1. What is not a number has neither distance, and is counted by itself.
struct TensorDifference {
  std::int64_t tensors = 0;  // in both, of one shape and dtype
  std::int64_t tensors_different = 0;
  std::int64_t elements = 0;
  std::int64_t elements_different = 0;
  std::int64_t not_a_number = 0;     // different elements of which one is NaN
  std::optional<ElementPair> first;  // of the first tensor of `a` that differs, its first element
  std::uint64_t largest_ulps = 0;
  std::optional<ElementPair> largest_ulps_at;
  double largest_absolute = 0.0;
  std::optional<ElementPair> largest_absolute_at;
  std::vector<std::string> only_in_a, only_in_b;
  std::vector<std::string> misshapen;  // "name is Float[2] in A and Float[3] in B"

  bool equal() const {
    return tensors_different == 0 && only_in_a.empty() && only_in_b.empty() && misshapen.empty();
  }
};

// In the order of `a`. CPU tensors.
TensorDifference compare_tensors(const NamedTensors& a, const NamedTensors& b);

}  // namespace lockstep
