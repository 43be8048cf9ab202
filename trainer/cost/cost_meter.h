// CostMeter: what a run has cost so far, and what it will have cost in the end.
#pragma once

#include <functional>

#include "trainer/cost/spend.h"

namespace lockstep {

// Counts from its construction with a monotonic clock, so that a jump of the wall clock changes nothing.
// Thread-safe once constructed, if its clock is.
class CostMeter {
 public:
  using Clock = std::function<double()>;  // seconds since some moment; never goes back

  // `gpus`: GPUs in use (ranks; a CPU rank counts as one). `earlier`: what earlier attempts of this run cost
  // (EarlierSpend in ledger.h). Throws std::invalid_argument for a price that check_price refuses, or gpus
  // < 1.
  CostMeter(Price price, int gpus, Spend earlier = {}, Clock clock = monotonic_seconds);

  const Price& price() const { return price_; }
  int gpus() const { return gpus_; }
  // Seconds of this attempt.
  double running_s() const;
  // Of this attempt and the earlier ones. The amount is none where no price is known now and none was before.
  Spend spend() const;
  // What `remaining_s` more seconds will cost, beyond spend().
  Spend to_finish(double remaining_s) const;
  // spend() shared out over the epochs done so far, fractions included, those of earlier attempts too; throws
  // std::invalid_argument unless epochs > 0.
  Spend per_epoch(double epochs) const;

  static double monotonic_seconds();

 private:
  Price price_;
  int gpus_;
  Spend earlier_;
  Clock clock_;
  double start_s_;
};

}  // namespace lockstep
