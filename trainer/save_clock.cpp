#include "trainer/save_clock.h"

#include "trainer/cost/interruptions.h"

namespace lockstep {
namespace {

constexpr double kHourS = 3600.0;
constexpr double kUnknownNodeHours = 24.0;

}  // namespace

double young_daly_interval_s(double save_s, double mean_time_between_failures_s) {
  if (save_s > mean_time_between_failures_s / 2.0) return mean_time_between_failures_s;
  return daly_interval_s(save_s, mean_time_between_failures_s);
}

double mean_time_between_failures_s(const std::vector<LedgerRecord>& attempts, double node_hours, int nodes) {
  if (node_hours > 0.0) return node_hours * kHourS / nodes;
  double running_s = 0.0;
  int failures = 0;
  for (const LedgerRecord& attempt : attempts) {
    running_s += attempt.running_s;
    failures += !attempt.closed || attempt.reason == "failed" || attempt.reason == "drift" ? 1 : 0;
  }
  if (failures == 0 || running_s <= 0.0) return kUnknownNodeHours * kHourS / nodes;
  return running_s / failures;
}

SaveClock::SaveClock(CheckpointInterval interval, double mean_time_between_failures_s, double now_s)
    : interval_(interval), mean_time_between_failures_s_(mean_time_between_failures_s), last_s_(now_s) {}

std::optional<double> SaveClock::interval_s() const {
  if (interval_.kind == CheckpointInterval::Kind::kMinutes) return interval_.minutes * 60.0;
  if (!is_auto() || !blocking_s_) return std::nullopt;
  return young_daly_interval_s(*blocking_s_, mean_time_between_failures_s_);
}

bool SaveClock::due(double now_s) const {
  if (is_auto()) return now_s - last_s_ >= interval_s().value_or(kFirstAutoSaveS);
  const auto interval = interval_s();
  return interval && now_s - last_s_ >= *interval;
}

void SaveClock::saved(double now_s, double blocking_s) {
  last_s_ = now_s;
  // The first save also fetches memory, and is forgotten by and by.
  blocking_s_ = blocking_s_ ? (*blocking_s_ + blocking_s) / 2.0 : blocking_s;
}

}  // namespace lockstep
