#include "trainer/precision.h"

#include <ATen/autocast_mode.h>

#include <stdexcept>

namespace lockstep {

Precision parse_precision(const std::string& name) {
  if (name == "32-true") return Precision::k32True;
  if (name == "bf16-mixed") return Precision::kBf16Mixed;
  if (name == "16-mixed") return Precision::k16Mixed;
  throw std::invalid_argument("--precision " + name +
                              " is unknown; known are 32-true, bf16-mixed and 16-mixed");
}

AutocastGuard::AutocastGuard(Precision precision, at::DeviceType device)
    : active_(precision != Precision::k32True), device_(device) {
  if (!active_) return;
  at::autocast::set_autocast_dtype(device_, precision == Precision::k16Mixed ? at::kHalf : at::kBFloat16);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::increment_nesting();
}

AutocastGuard::~AutocastGuard() {
  if (!active_) return;
  // The cache holds the parameters' rounded copies, which the next update makes stale.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, false);
}

}  // namespace lockstep
