// GradScaler: the scale of a loss whose gradients are computed in float16, with the bits of
// torch.amp.GradScaler.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace lockstep {

// PyTorch's defaults.
struct GradScalerOptions {
  double init_scale = 65536.0;
  double growth_factor = 2.0;
  double backoff_factor = 0.5;
  std::int64_t growth_interval = 2000;  // steps in a row without an overflow, after which the scale grows
};

struct GradScalerState {
  double scale = 0.0;
  std::int64_t growth_tracker = 0;  // steps without an overflow since the scale last changed
};

// float16 ends at 65504 and loses what is below 6e-8, so the loss is scaled up before the backward pass and
// the gradients are scaled down before the update. Where some are not finite then, the update is left out and
// the scale falls.
//
// Not thread-safe. Issues no communication: it looks at averaged gradients, which are equal on all ranks to
// the bit, so that all come to the same decision and the same scale. The scale lives on `device`; only
// state() waits for a GPU.
class GradScaler {
 public:
  // Throws std::invalid_argument unless init_scale and growth_interval are above 0 and growth_factor > 1 >
  // backoff_factor > 0.
  GradScaler(const GradScalerOptions& options, at::Device device);

  // `loss`, any shape, times the scale.
  at::Tensor scale(const at::Tensor& loss) const;
  // Divides all gradients by the scale, in place; parameters without one are left out. Returns a 0-dim
  // float32 tensor on the device: 0 if all of them were finite, else 1. Throws std::invalid_argument for
  // gradients of another device.
  at::Tensor unscale(const std::vector<at::Tensor>& parameters) const;
  // Once a step, with what unscale() returned.
  void update(const at::Tensor& found_inf);

  GradScalerState state() const;
  // Throws DataError unless the scale is finite and above 0 and the tracker at least 0.
  void load_state(const GradScalerState& state);

 private:
  GradScalerOptions options_;
  at::Tensor scale_;           // () float32
  at::Tensor growth_tracker_;  // () int32
};

}  // namespace lockstep
