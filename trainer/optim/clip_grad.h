// Gradient clipping by global norm, with the bits of torch.nn.utils.clip_grad_norm_.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace lockstep {

// Scales all gradients in place so that the 2-norm over all of them together is at most `max_norm`.
// Parameters without a gradient are left out; the gradients share one device and dtype. Returns the norm
// *before* clipping as a 0-dim tensor on their device, so that a GPU need not be waited for (a CPU zero if
// there are no gradients). A norm that is not finite spreads into the gradients, as in PyTorch. Throws
// std::invalid_argument unless max_norm is above 0, or for gradients of different devices or dtypes.
at::Tensor clip_grad_norm(const std::vector<at::Tensor>& parameters, double max_norm);

}  // namespace lockstep
