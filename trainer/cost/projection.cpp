#include "trainer/cost/projection.h"

namespace lockstep {

void Projection::stepped(double seconds) {
  constexpr std::int64_t kWarmUpSteps = 3;
  if (warm_up_ < kWarmUpSteps) {
    ++warm_up_;
  } else {
    steps_.add(seconds);
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

}  // namespace lockstep
