// Budget: how much a run may cost, and when it has to stop so that it does not cost more.
#pragma once

#include <optional>
#include <string>

#include "trainer/cost/cost_meter.h"

namespace lockstep {

class Budget {
 public:
  // `stop`: the share of `amount` at which the run stops, in (0, 1].
  Budget(double amount, double stop, std::string currency);

  double amount() const { return amount_; }
  double mark() const { return amount_ * stop_; }
  const std::string& currency() const { return currency_; }

  // Whether a run that goes on for `more_s` seconds, and can only stop then, will have cost more than the
  // mark: with coarse billing, whether the granule that would cross it begins before that. `others`: what
  // others have spent of the same budget.
  bool crosses_mark(const CostMeter& meter, double more_s, double others) const;
  bool is_half_spent(double spent) const { return spent >= amount_ / 2; }
  double share(double spent) const { return spent / amount_; }

  // "the budget of $300.00 (mark: $240.00)".
  std::string describe() const;

 private:
  double amount_;
  double stop_;
  std::string currency_;
};

}  // namespace lockstep
