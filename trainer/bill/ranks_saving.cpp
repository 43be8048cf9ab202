#include "trainer/bill/ranks_saving.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace lockstep {
namespace {

// Of the steps that brought the run forward.
double gpu_hours_of_steps(const LedgerRecord& attempt) {
  const double seconds = attempt.parts[RunPart::kCompute] + attempt.parts[RunPart::kExposedCommunication] +
                         attempt.parts[RunPart::kData];
  return seconds * attempt.gpus / 3600.0;
}

}  // namespace

std::optional<RanksSaving> saved_by_fewer_ranks(const std::vector<LedgerRecord>& attempts) {
  RanksSaving saving;
  double full_gpu_hours = 0.0;
  std::int64_t full_steps = 0;
  std::int64_t reached = 0;
  bool changed = false;       // some attempt before has ended for fewer ranks
  bool just_changed = false;  // the one before has
  bool one_price = true;
  double price_before = 0.0;  // of what the steps would have cost
  for (const LedgerRecord& attempt : attempts) {
    const std::int64_t steps = std::max<std::int64_t>(0, attempt.step - reached);
    reached = std::max(reached, attempt.step);
    if (!changed) {
      saving.first_ranks = attempt.gpus;
      full_gpu_hours += gpu_hours_of_steps(attempt);
      full_steps += steps;
    } else if (attempt.gpus < saving.first_ranks) {
      const double full_per_step = full_steps > 0 ? full_gpu_hours / static_cast<double>(full_steps) : 0.0;
      const double before = full_per_step * static_cast<double>(steps);
      const double start = just_changed ? attempt.parts[RunPart::kStartUp] * attempt.gpus / 3600.0 : 0.0;
      saving.last_ranks = attempt.gpus;
      saving.steps += steps;
      saving.before_gpu_hours += before;
      saving.taken_gpu_hours += gpu_hours_of_steps(attempt);
      saving.changes_gpu_hours += start;
      one_price = one_price && attempt.price().is_known() &&
                  (saving.currency.empty() || saving.currency == attempt.currency);
      saving.currency = attempt.currency;
      price_before += before * attempt.price_per_gpu_hour;
      saving.taken += gpu_hours_of_steps(attempt) * attempt.price_per_gpu_hour;
      saving.changes += start * attempt.price_per_gpu_hour;
    }
    just_changed = attempt.reason == kFewerRanks;
    changed = changed || just_changed;
  }
  if (saving.steps == 0 || full_steps == 0) return std::nullopt;
  if (one_price) saving.before = price_before;
  return saving;
}

std::string describe(const std::optional<RanksSaving>& saving) {
  if (!saving) return {};
  const double gpu_hours = saving->saved_gpu_hours();
  const double amount = saving->before ? *saving->before - saving->taken - saving->changes : 0.0;
  const double saved = saving->before ? amount : gpu_hours;
  const double whole = saving->before ? *saving->before : saving->before_gpu_hours;
  const Spend spend{.gpu_hours = std::abs(gpu_hours),
                    .amount = saving->before ? std::optional(std::abs(amount)) : std::nullopt,
                    .currency = saving->currency};
  char share[64] = "";
  if (whole > 0.0) std::snprintf(share, sizeof share, " (%.1f %%)", 100.0 * std::abs(saved) / whole);
  return std::to_string(saving->last_ranks) + " of " + std::to_string(saving->first_ranks) + " for " +
         std::to_string(saving->steps) + " steps: " + (saved < 0.0 ? "cost " : "saved ") +
         format_spend(spend) + (saved < 0.0 ? " more" : "") + share + ", restarts included";
}

}  // namespace lockstep
