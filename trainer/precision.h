// Mixed precision: which operations run in bfloat16 or float16, while parameters stay in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace lockstep {

enum class Precision { k32True, kBf16Mixed, k16Mixed };

// "32-true", "bf16-mixed" or "16-mixed", Lightning's names. Throws std::invalid_argument for others.
Precision parse_precision(const std::string& name);

// While it lives, this thread's operations follow PyTorch's autocast lists for `device`; to be opened around
// the forward pass and the loss, not the backward pass, which repeats the forward's choices. Does nothing for
// k32True.
class AutocastGuard {
 public:
  AutocastGuard(Precision precision, at::DeviceType device);
  ~AutocastGuard();
  AutocastGuard(const AutocastGuard&) = delete;
  AutocastGuard& operator=(const AutocastGuard&) = delete;

 private:
  const bool active_;
  const at::DeviceType device_;
};

}  // namespace lockstep
