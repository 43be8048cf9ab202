// torch/nn/utils/clip_grad.py, operation by operation.
#include "trainer/optim/clip_grad.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <stdexcept>

namespace lockstep {

at::Tensor clip_grad_norm(const std::vector<at::Tensor>& parameters, double max_norm) {
  if (!(max_norm > 0)) {
    throw std::invalid_argument("the gradient's clipping norm must be above 0, not " +
                                std::to_string(max_norm));
  }
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> grads;
  for (const at::Tensor& parameter : parameters) {
    if (!parameter.grad().defined()) continue;
    grads.push_back(parameter.grad());
    if (grads.back().options().device() != grads.front().device() ||
        grads.back().scalar_type() != grads.front().scalar_type()) {
      throw std::invalid_argument("gradients of different devices or dtypes have no common norm");
    }
  }
  if (grads.empty()) return at::zeros({}, at::TensorOptions().dtype(at::kFloat));

  const at::Tensor total_norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(grads, 2)), 2);
  // Python divides a number by a tensor as reciprocal times number.
  const at::Tensor clip_coef = total_norm.add(1e-6).reciprocal().mul(max_norm);
  at::_foreach_mul_(grads, clip_coef.clamp_max(1.0));
  return total_norm;
}

}  // namespace lockstep
