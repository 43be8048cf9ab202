#include "trainer/bill/budget_gate.h"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "trainer/bill/idle_watch.h"
#include "trainer/bill/measured_run.h"
#include "trainer/bill/tariff_options.h"
#include "trainer/bill/team_ledger.h"
#include "trainer/cost/bill.h"
#include "trainer/cost/budget.h"
#include "trainer/cost/launch_moment.h"
#include "trainer/cost/ledger_writer.h"
#include "trainer/cost/off_peak.h"
#include "trainer/metrics/metrics_history.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

// The least that a start can take, ranks that meet, a step, and a save: as long as the last start did.
double shortest_run_s(const std::vector<LedgerRecord>& records) {
  constexpr double kShortest_s = 1.0;
  return records.empty() ? kShortest_s : std::max(kShortest_s, records.back().parts[RunPart::kStartUp]);
}

// How long the run will still take, and how that is known.
struct Outlook {
  double remaining_s = 0.0;
  std::string by;
};

// By what its last attempt expected, if the run is still the same; else by what runs with these options have
// measured; else by the user's word.
std::optional<Outlook> outlook(const RunDir& run_dir, const TrainConfig& config, int gpus, double ran_s) {
  const MetricsHistory history = read_metrics_history(run_dir.metrics_file());
  const bool same = !config.fresh && history.world_size == gpus && history.max_epochs == config.max_epochs &&
                    history.max_steps == config.max_steps;
  if (same && history.ended_finished) return std::nullopt;
  if (same && history.remaining_s) return Outlook{*history.remaining_s, "going by its last attempt"};
  if (const auto measured = find_measured_run(run_dir.root(), config, gpus)) {
    char step[64];
    std::snprintf(step, sizeof step, "%.3g ms", 1e3 * measured->step_s);
    return Outlook{measured->remaining_s(config, config.fresh ? 0 : history.last_step),
                   "going by the " + std::to_string(measured->steps) + " steps of " +
                       measured->run_dir.string() + " (" + step + " each)"};
  }
  if (config.expected_hours == 0.0) return std::nullopt;
  return Outlook{std::max(0.0, config.expected_hours * 3600.0 - ran_s), "going by --expected-hours"};
}

// With --budget-ledger: what the month has cost beyond this run's earlier attempts, which stand there as
// well.
double others_share(const TrainConfig& config, double spent) {
  if (config.budget_ledger.empty()) return 0.0;
  return TeamLedger::spent(config.budget_ledger, config.currency, unix_seconds()) - spent;
}

void check_off_peak(const std::string& text) {
  if (text.empty()) return;
  try {
    const OffPeakWindow window(text);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("--off-peak: ") + error.what());
  }
}

}  // namespace

void check_not_spent(const TrainConfig& config, double spent) {
  if (spent < config.budget) return;
  throw std::invalid_argument("--budget: " + format_money(config.budget, config.currency) +
                              " is no more than the " + format_money(spent, config.currency) +
                              " that the run has cost already; give a higher one, or none");
}

std::optional<BudgetRefusal> refuse_to_start(const TrainConfig& config, const std::filesystem::path& dir,
                                             int gpus) {
  const Tariff tariff = tariff_of(config);
  check_off_peak(config.off_peak);
  check_idle_action(config.idle_action);
  if (config.budget <= 0.0) return std::nullopt;
  const RunDir run_dir(dir);
  const auto records = config.fresh ? std::vector<LedgerRecord>() : read_ledger(run_dir.ledger_file());
  const LedgerRecord now = first_record(last_attempt(records) + 1, tariff, gpus, 0.0, "");
  const EarlierSpend earlier = earlier_spend(records, now);
  const double spent = earlier.start.earlier.amount.value_or(0.0);
  const double others = others_share(config, spent);
  check_not_spent(config, spent + others);
  const CostMeter meter(tariff, gpus, earlier.start, [] { return 0.0; });
  const Budget budget(config.budget, config.budget_stop, config.currency);
  const auto money = [&](double amount) { return format_money(amount, config.currency); };
  const double start_s = shortest_run_s(records);
  if (budget.crosses_mark(meter, start_s, others)) {
    return BudgetRefusal{money(spent + others) + " are spent, and starting costs up to " +
                             money(meter.spend_after(start_s).amount.value_or(0.0) - spent) +
                             ": that is above " + budget.describe() + "; raise --budget to go on",
                         false};
  }
  if (config.yes) return std::nullopt;
  double ran_s = 0.0;
  for (const LedgerRecord& record : records) ran_s += record.running_s;
  const auto still = outlook(run_dir, config, gpus, ran_s);
  if (!still || !budget.crosses_mark(meter, still->remaining_s, others)) return std::nullopt;
  return BudgetRefusal{"the run will cost " +
                           money(meter.spend_after(still->remaining_s).amount.value_or(0.0) + others) + ", " +
                           still->by + ", above " + budget.describe() +
                           "; raise --budget, or go on up to the mark with --yes",
                       true};
}

}  // namespace lockstep
