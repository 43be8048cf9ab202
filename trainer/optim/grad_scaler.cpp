// torch/amp/grad_scaler.py, operation by operation.
#include "trainer/optim/grad_scaler.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

bool is_scale(double number) {
  const auto scale = static_cast<float>(number);
  return std::isfinite(scale) && scale > 0.0F;
}

}  // namespace

GradScaler::GradScaler(const GradScalerOptions& options, at::Device device)
    : options_(options),
      scale_(at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(device))),
      growth_tracker_(at::zeros({}, at::TensorOptions().dtype(at::kInt).device(device))) {
  if (!(options.growth_factor > 1.0) || !(options.backoff_factor > 0.0 && options.backoff_factor < 1.0))
    throw std::invalid_argument(
        "a gradient scaler's growth factor must be above 1, its backoff factor between 0 and 1");
  if (options.growth_interval < 1 || options.growth_interval > std::numeric_limits<int>::max())
    throw std::invalid_argument("a gradient scaler's growth interval must be between 1 and 2147483647, not " +
                                std::to_string(options.growth_interval));
  if (!is_scale(options.init_scale))
    throw std::invalid_argument(
        "a gradient scaler's first scale must be above 0 and finite in float32, not " +
        std::to_string(options.init_scale));
  scale_.fill_(options.init_scale);
}

at::Tensor GradScaler::scale(const at::Tensor& loss) const {
  return loss.mul(scale_);
}

at::Tensor GradScaler::unscale(const std::vector<at::Tensor>& parameters) const {
  const at::NoGradGuard no_grad;
  at::Tensor found_inf = at::zeros({}, scale_.options());
  const at::Tensor inv_scale = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
  std::map<at::ScalarType, std::vector<at::Tensor>> by_dtype;
  for (const at::Tensor& parameter : parameters) {
    const at::Tensor& grad = parameter.grad();
    if (!grad.defined()) continue;
    if (grad.device() != scale_.device())
      throw std::invalid_argument("a gradient on " + grad.device().str() + " has no scale on " +
                                  scale_.device().str());
    by_dtype[grad.scalar_type()].push_back(grad);
  }
  for (auto& [dtype, grads] : by_dtype)
    at::_amp_foreach_non_finite_check_and_unscale_(grads, found_inf, inv_scale);
  return found_inf;
}

void GradScaler::update(const at::Tensor& found_inf) {
  at::_amp_update_scale_(scale_, growth_tracker_, found_inf, options_.growth_factor, options_.backoff_factor,
                         options_.growth_interval);
}

GradScalerState GradScaler::state() const {
  return {static_cast<double>(scale_.item<float>()), growth_tracker_.item<int>()};
}

void GradScaler::load_state(const GradScalerState& state) {
  if (!is_scale(state.scale))
    throw DataError("checkpoint: the gradient scaler's scale is not above 0 and finite in float32: " +
                    std::to_string(state.scale));
  if (state.growth_tracker < 0 || state.growth_tracker > std::numeric_limits<int>::max())
    throw DataError("checkpoint: the gradient scaler's growth tracker is no number of steps: " +
                    std::to_string(state.growth_tracker));
  scale_.fill_(state.scale);
  growth_tracker_.fill_(state.growth_tracker);
}

}  // namespace lockstep
