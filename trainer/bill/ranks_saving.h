// What --adaptive-ranks has saved, from a run's ledger.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/cost/ledger.h"

namespace lockstep {

// Of the steps after the first change; money is at each attempt's own price. Steps that were done again,
// evaluations and saves are left out of what a step takes.
struct RanksSaving {
  int first_ranks = 0;
  int last_ranks = 0;
  std::int64_t steps = 0;          // done with fewer ranks than at first
  double before_gpu_hours = 0.0;   // what they would have taken with all, as the steps before them did
  double taken_gpu_hours = 0.0;    // what they took
  double changes_gpu_hours = 0.0;  // of the starts that the changes cost
  std::optional<double> before;  // the same in money; none where an attempt has no price, or another currency
  double taken = 0.0;
  double changes = 0.0;
  std::string currency;

  double saved_gpu_hours() const { return before_gpu_hours - taken_gpu_hours - changes_gpu_hours; }
};

// None for a run that has never gone on with fewer, or of which no step was measured before or after.
std::optional<RanksSaving> saved_by_fewer_ranks(const std::vector<LedgerRecord>& attempts);

// "1 of 2 for 120 steps: saved $0.0123 (20.1 %), restarts included", or what it cost more; empty for none.
std::string describe(const std::optional<RanksSaving>& saving);

}  // namespace lockstep
