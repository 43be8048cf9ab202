#include "trainer/metrics/step_timer.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace lockstep {

const char* step_part_name(StepPart part) {
  switch (part) {
    case StepPart::kData:
      return "data";
    case StepPart::kForward:
      return "forward";
    case StepPart::kBackward:
      return "backward";
    case StepPart::kExposedCommunication:
      return "exposed_communication";
    case StepPart::kOptimizer:
      return "optimizer";
    case StepPart::kOther:
      return "other";
  }
  throw std::logic_error("there is no such part of a step");
}

std::int64_t StepTimes::total_ns() const {
  return std::accumulate(parts_ns.begin(), parts_ns.end(), std::int64_t{0});
}

double StepTimes::mean_part_s(StepPart part) const {
  return steps > 0 ? static_cast<double>(part_ns(part)) / static_cast<double>(steps) / 1e9 : 0.0;
}

double StepTimes::mean_step_s() const {
  return steps > 0 ? static_cast<double>(total_ns()) / static_cast<double>(steps) / 1e9 : 0.0;
}

double StepTimes::share(StepPart part) const {
  const std::int64_t total = total_ns();
  return total > 0 ? static_cast<double>(part_ns(part)) / static_cast<double>(total) : 0.0;
}

StepTimes& StepTimes::operator+=(const StepTimes& other) {
  steps += other.steps;
  for (std::size_t i = 0; i < parts_ns.size(); ++i) parts_ns[i] += other.parts_ns[i];
  return *this;
}

void StepTimer::begin_step() {
  step_ = StepTimes{.steps = 1, .parts_ns = {}};
  current_ = StepPart::kOther;
  in_step_ = true;
  mark_ns_ = begin_ns_ = now_ns_();
}

void StepTimer::begin(StepPart part) {
  require_step();
  const std::int64_t now = now_ns_();
  current_ns() += now - mark_ns_;
  if (observer_ && now > begin_ns_) observer_(current_, begin_ns_, now);
  mark_ns_ = begin_ns_ = now;
  current_ = part;
}

void StepTimer::add_exposed_communication(double seconds) {
  require_step();
  if (!(seconds > 0.0)) return;
  const std::int64_t elapsed = now_ns_() - mark_ns_;
  const std::int64_t moved =
      seconds * 1e9 < static_cast<double>(elapsed) ? std::llround(seconds * 1e9) : elapsed;
  step_.parts_ns[static_cast<std::size_t>(StepPart::kExposedCommunication)] += moved;
  mark_ns_ += moved;
}

StepTimes StepTimer::end_step() {
  begin(StepPart::kOther);
  in_step_ = false;
  sum_ += step_;
  return step_;
}

StepTimes StepTimer::take_sum() {
  return std::exchange(sum_, StepTimes{});
}

std::int64_t StepTimer::monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

void StepTimer::require_step() const {
  if (!in_step_) throw std::logic_error("StepTimer: begin_step() has to come first");
}

}  // namespace lockstep
