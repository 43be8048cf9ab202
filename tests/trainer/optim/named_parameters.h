// Parameters as a Reducer takes them, and the simplest backward pass through them.
#pragma once

#include <ATen/ATen.h>

#include <string>
#include <utility>
#include <vector>

namespace lockstep::testing {

using NamedParameters = std::vector<std::pair<std::string, at::Tensor>>;

inline std::vector<at::Tensor> tensors_of(const NamedParameters& parameters) {
  std::vector<at::Tensor> tensors;
  for (const auto& [name, parameter] : parameters) tensors.push_back(parameter);
  return tensors;
}

// Of their sum: every element's gradient is 1.
inline void backward(const NamedParameters& named) {
  at::Tensor loss = at::zeros({});
  for (const auto& [name, parameter] : named) loss = loss + parameter.sum();
  loss.backward();
}

}  // namespace lockstep::testing
