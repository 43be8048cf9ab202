// Costs: what a run has cost and will cost, as metrics.jsonl and the bar say it.
#pragma once

#include <optional>

#include "trainer/cost/spend.h"

namespace lockstep {

// Amounts are in spend.currency, and none where no price is known.
struct Costs {
  Spend spend;
  std::optional<double> per_epoch;
  std::optional<double> per_million;  // samples, or tokens where the model takes those
  bool counts_tokens = false;
  std::optional<double> remaining_s;   // of the whole run; none while it cannot be told yet
  std::optional<Spend> to_finish;      // beyond `spend`
  std::optional<double> budget_share;  // 1: all of it; none without a budget
};

}  // namespace lockstep
