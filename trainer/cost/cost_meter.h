// CostMeter: what a run has cost so far, and what it will have cost in the end.
#pragma once

#include <functional>

#include "trainer/cost/billing.h"
#include "trainer/cost/spend.h"

namespace lockstep {

// What came before the moment at which a meter is made (earlier_spend in bill.h finds it out).
struct MeterStart {
  Spend earlier;            // all GPU-hours; the amount without that of the billed interval that goes on
  double interval_s = 0.0;  // of the interval that goes on: its billable time before this attempt
  double running_s = 0.0;   // of this attempt, before the meter was made
};

// Counts with a monotonic clock, so that a jump of the wall clock changes nothing. Thread-safe once
// constructed, if its clock is.
class CostMeter {
 public:
  using Clock = std::function<double()>;  // seconds since some moment; never goes back

  // `gpus`: GPUs in use (ranks; a CPU rank counts as one). Throws std::invalid_argument for a price that
  // check_price refuses, or gpus < 1.
  CostMeter(Tariff tariff, int gpus, MeterStart start = {}, Clock clock = monotonic_seconds);

  const Tariff& tariff() const { return tariff_; }
  const Price& price() const { return tariff_.price; }
  int gpus() const { return gpus_; }
  // Seconds of this attempt.
  double running_s() const;
  // Of this attempt and the earlier ones, as billed: what is owed if the run ends now. The amount is none
  // where no price is known now and none was before.
  Spend spend() const { return spend_after(0.0); }
  // What will be owed if the run ends in `more_s` seconds.
  Spend spend_after(double more_s) const;
  // What `remaining_s` more seconds will cost, beyond spend().
  Spend to_finish(double remaining_s) const;
  // spend() shared out over the epochs done so far, fractions included, those of earlier attempts too; throws
  // std::invalid_argument unless epochs > 0.
  Spend per_epoch(double epochs) const;

  static double monotonic_seconds();

 private:
  Tariff tariff_;
  int gpus_;
  MeterStart start_;
  Clock clock_;
  double begin_s_;  // by the clock
};

}  // namespace lockstep
