#include "trainer/cost/run_parts.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace lockstep {

const char* run_part_name(RunPart part) {
  switch (part) {
    case RunPart::kStartUp:
      return "start_up";
    case RunPart::kCompute:
      return "compute";
    case RunPart::kExposedCommunication:
      return "exposed_communication";
    case RunPart::kData:
      return "data";
    case RunPart::kEvaluation:
      return "evaluation";
    case RunPart::kCheckpoint:
      return "checkpoint";
    case RunPart::kRework:
      return "rework";
    case RunPart::kIdle:
      return "idle";
  }
  throw std::logic_error("there is no such part of a run");
}

double RunPartTimes::total_s() const {
  return std::accumulate(seconds.begin(), seconds.end(), 0.0);
}

RunPartTimes& RunPartTimes::operator+=(const RunPartTimes& other) {
  for (std::size_t i = 0; i < seconds.size(); ++i) seconds[i] += other.seconds[i];
  return *this;
}

void PartMeter::enter(RunPart part, double now_s) {
  const std::scoped_lock lock(mutex_);
  times_[current_] += now_s - mark_s_;
  mark_s_ = now_s;
  current_ = part;
}

void PartMeter::stepped(double step_s, double exposed_communication_s, double data_s, bool is_rework,
                        double now_s) {
  const std::scoped_lock lock(mutex_);
  // Two clock readings lie between a step's end and now, so the step may seem longer than there was time.
  const double step = std::clamp(step_s, 0.0, now_s - mark_s_);
  times_[current_] += now_s - mark_s_ - step;
  if (is_rework) {
    times_[RunPart::kRework] += step;
  } else {
    const double waits = exposed_communication_s + data_s;
    const double scale = waits > step && waits > 0.0 ? step / waits : 1.0;
    times_[RunPart::kExposedCommunication] += exposed_communication_s * scale;
    times_[RunPart::kData] += data_s * scale;
    times_[RunPart::kCompute] += step - waits * scale;
  }
  mark_s_ = now_s;
  current_ = RunPart::kIdle;
}

RunPartTimes PartMeter::times(double now_s) const {
  const std::scoped_lock lock(mutex_);
  RunPartTimes times = times_;
  times[current_] += std::max(0.0, now_s - mark_s_);
  return times;
}

}  // namespace lockstep
