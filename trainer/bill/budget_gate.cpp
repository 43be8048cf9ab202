#include "trainer/bill/budget_gate.h"

#include <stdexcept>

#include "trainer/bill/idle_watch.h"
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

// The least that a start can take: ranks that meet, a step, and a save.
constexpr double kShortestRun_s = 1.0;

// What the last attempt expected to be left, if the run is still the same.
std::optional<double> remaining_s(const MetricsHistory& history, const TrainConfig& config, int gpus) {
  const bool same = history.world_size == gpus && history.max_epochs == config.max_epochs &&
                    history.max_steps == config.max_steps;
  return same && !history.ended_finished ? history.remaining_s : std::nullopt;
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
  if (budget.crosses_mark(meter, kShortestRun_s, others)) {
    return BudgetRefusal{money(spent + others) + " are spent, and starting costs up to " +
                             money(meter.spend_after(kShortestRun_s).amount.value_or(0.0) - spent) +
                             ": that is above " + budget.describe() + "; raise --budget to go on",
                         false};
  }
  if (config.fresh || config.yes) return std::nullopt;
  const auto left_s = remaining_s(read_metrics_history(run_dir.metrics_file()), config, gpus);
  if (!left_s || !budget.crosses_mark(meter, *left_s, others)) return std::nullopt;
  return BudgetRefusal{"the run will cost " +
                           money(meter.spend_after(*left_s).amount.value_or(0.0) + others) +
                           ", going by its last attempt, above " + budget.describe() +
                           "; raise --budget, or go on up to the mark with --yes",
                       true};
}

}  // namespace lockstep
