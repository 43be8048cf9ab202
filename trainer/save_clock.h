// SaveClock: when a save is due by time, given or worked out from what saves and failures cost.
#pragma once

#include <optional>
#include <vector>

#include "trainer/config/checkpoint_options.h"
#include "trainer/cost/ledger.h"

namespace lockstep {

// The time between two saves that loses the least, where a save costs `save_s` of training and a failure
// comes every `mean_time_between_failures_s`: daly_interval_s(), and M where C > M / 2.
double young_daly_interval_s(double save_s, double mean_time_between_failures_s);

// Of the whole run. `node_hours` above 0 is given, for one node. Otherwise what the earlier attempts have
// shown: the time they ran over the number that were killed or failed; 24 hours for each node where none
// was.
double mean_time_between_failures_s(const std::vector<LedgerRecord>& attempts, double node_hours, int nodes);

// Times are seconds of one monotonic clock. Not thread-safe.
class SaveClock {
 public:
  // Until the first save of `auto` is measured, it is due after a minute.
  static constexpr double kFirstAutoSaveS = 60.0;

  SaveClock(CheckpointInterval interval, double mean_time_between_failures_s, double now_s);

  // Never for intervals that are no times.
  bool due(double now_s) const;
  // A save after which training stood still for `blocking_s`.
  void saved(double now_s, double blocking_s);
  // Seconds between two saves; none for intervals that are no times, and until it is known.
  std::optional<double> interval_s() const;
  double blocking_s() const { return blocking_s_.value_or(0.0); }  // as auto reckons with it
  double mean_time_between_failures_s() const { return mean_time_between_failures_s_; }
  bool is_auto() const { return interval_.kind == CheckpointInterval::Kind::kAuto; }

 private:
  CheckpointInterval interval_;
  double mean_time_between_failures_s_;
  double last_s_;
  std::optional<double> blocking_s_;
};

}  // namespace lockstep
