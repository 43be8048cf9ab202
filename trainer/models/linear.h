// Linear layers that compute as Python's. Not for use outside this folder.
#pragma once

#include <ATen/ops/linear.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

namespace lockstep {

// torch.nn.functional.linear is at::linear, which adds the bias within the matrix product. LibTorch's own C++
// layers add it afterwards where the input has three dimensions, which gives the bias's gradient other bits;
// and else call addmm, for which under autocast the gradients of weight and bias become ready in another
// order, and so buckets and the sums of three ranks differ.
inline at::Tensor project(const torch::nn::Linear& linear, const at::Tensor& x) {
  return at::linear(x, linear->weight, linear->bias);
}

// The same for torch::nn::Sequential.
class PythonLinearImpl : public torch::nn::LinearImpl {
 public:
  using torch::nn::LinearImpl::LinearImpl;
  at::Tensor forward(const at::Tensor& x) { return at::linear(x, weight, bias); }
};
TORCH_MODULE(PythonLinear);

}  // namespace lockstep
