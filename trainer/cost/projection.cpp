#include "trainer/cost/projection.h"

#include <algorithm>

namespace lockstep {

void Projection::stepped(double seconds) {
  constexpr std::int64_t kWarmUpSteps = 3;
  if (warm_up_ < kWarmUpSteps) {
    ++warm_up_;
  } else {
    steps_.add(seconds);
    if (first_steps_.count < kFew) first_steps_.add(seconds);
    last_steps_s_ += (seconds - last_steps_s_) / static_cast<double>(std::min(steps_.count, kFew));
    quickest_step_s_ = std::min(quickest_step_s_, seconds);
  }
}

std::optional<double> Projection::step_s() const {
  return steps_.count > 0 ? std::optional(steps_.mean_or(0.0)) : std::nullopt;
}

std::optional<double> Projection::remaining_s(const RemainingWork& work) const {
  if (steps_.count == 0) return std::nullopt;
  return static_cast<double>(work.steps) * *step_s() +
         static_cast<double>(work.evaluations) * evaluation_s() + static_cast<double>(work.saves) * save_s();
}

double Projection::slowdown() const {
  const double first_s = first_steps_.mean_or(0.0);
  constexpr double kMost = 5.0;  // one step that stood still says little
  return first_s > 0.0 ? std::clamp(last_steps_s_ / first_s, 1.0, kMost) : 1.0;
}

std::optional<double> Projection::least_remaining_s(const RemainingWork& work) const {
  const auto remaining = remaining_s(work);
  if (!remaining) return std::nullopt;
  return *remaining - static_cast<double>(work.steps) * (*step_s() - quickest_step_s_);
}

}  // namespace lockstep
