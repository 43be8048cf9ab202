#include "trainer/recompute/forward_state.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include "trainer/random_state.h"

namespace lockstep {

ForwardState::ForwardState(at::Device device)
    : device_(device),
      random_(random_state(device)),
      autocast_caches_(at::autocast::is_autocast_cache_enabled()) {
  for (const at::DeviceType type : {at::kCPU, at::kCUDA}) {
    autocasts_.push_back(
        {type, at::autocast::is_autocast_enabled(type), at::autocast::get_autocast_dtype(type)});
  }
}

void ForwardState::restore() const {
  set_random_state(random_, device_);
  for (const Autocast& autocast : autocasts_) {
    at::autocast::set_autocast_dtype(autocast.device, autocast.dtype);
    at::autocast::set_autocast_enabled(autocast.device, autocast.enabled);
  }
  at::autocast::set_autocast_cache_enabled(autocast_caches_);
}

ForwardStateGuard::ForwardStateGuard(const ForwardState& state, const std::vector<at::Tensor>& buffers)
    : before_(state.device()), gradients_before_(at::GradMode::is_enabled()), buffers_(buffers) {
  at::GradMode::set_enabled(false);
  for (const at::Tensor& buffer : buffers_) values_before_.push_back(buffer.clone());
  state.restore();
  at::autocast::increment_nesting();
  at::GradMode::set_enabled(true);
}

ForwardStateGuard::~ForwardStateGuard() {
  at::GradMode::set_enabled(false);
  // The cache holds casts of parameters with the graph that they were made in.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  before_.restore();
  for (std::size_t i = 0; i < buffers_.size(); ++i) buffers_[i].copy_(values_before_[i]);
  at::GradMode::set_enabled(gradients_before_);
}

}  // namespace lockstep
