#include "trainer/bill/run_costs.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "sampler/data_error.h"
#include "trainer/bill/planned_costs.h"
#include "trainer/bill/ranks_saving.h"
#include "trainer/cost/bill.h"
#include "trainer/metrics/metrics_history.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

struct RunCosts {
  std::string name;
  std::vector<LedgerRecord> records;
  Bill bill;
  LedgerTotal total;
  std::string currency;   // of the last interval with a price
  Price price;            // of that interval
  double amount = 0.0;    // in `currency`, without storage
  double billed_s = 0.0;  // of the intervals in `currency`
  double gpu_hours = 0.0;
  double running_s = 0.0;
  double paused_s = 0.0;
  RunPartTimes parts;
  MetricsHistory history;
};

RunCosts read_run(const std::string& dir) {
  const RunDir run_dir(dir);
  RunCosts run;
  run.name = dir;
  run.records = read_ledger(run_dir.ledger_file());
  if (run.records.empty())
    throw DataError(run_dir.ledger_file().string() + " is not there or empty; name the folder of a run");
  run.bill = bill_of(run.records);
  run.total = total_of(run.bill);
  run.currency = run.records.back().currency;
  for (const BilledInterval& interval : run.bill.intervals) {
    if (interval.price.is_known()) run.price = interval.price;
  }
  if (run.price.is_known()) run.currency = run.price.currency;
  for (const BilledInterval& interval : run.bill.intervals) {
    run.running_s += interval.running_s;
    run.parts += interval.parts;
    if (!interval.price.is_known() || interval.price.currency != run.currency) continue;
    run.amount += interval.amount;
    run.billed_s += interval.billed_s;
    run.gpu_hours += interval.billed_s / 3600.0 * interval.gpus;
  }
  for (const Pause& pause : run.bill.pauses) run.paused_s += pause.seconds;
  run.history = read_metrics_history(run_dir.metrics_file());
  return run;
}

// What a rental at another price or granularity comes to, interval by interval.
template <class Change>
double amount_with(const RunCosts& run, Change change) {
  double amount = 0.0;
  for (BilledInterval interval : run.bill.intervals) {
    if (!interval.price.is_known() || interval.price.currency != run.currency) continue;
    change(interval);
    amount += interval.price.per_gpu_hour * interval.gpus / 3600.0 *
              billed_seconds(interval.billing, interval.running_s + interval.held_s);
  }
  return amount;
}

double storage_of(const RunCosts& run) {
  double storage = 0.0;
  for (const BilledInterval& interval : run.bill.intervals) {
    if (interval.price.currency == run.currency) storage += interval.storage_amount;
  }
  for (const Pause& pause : run.bill.pauses) {
    if (pause.currency == run.currency) storage += pause.storage_amount;
  }
  return storage;
}

void add_totals(CostSection& section, const RunCosts& run) {
  for (const auto& [currency, amount] : run.total.amounts)
    section.items.push_back(money("total_" + currency, "total", amount, currency,
                                  run.total.amounts.size() > 1 ? "currencies are not added up" : ""));
  if (run.total.amounts.empty())
    section.items.push_back(text("total", "total", "no price is known: --price-per-gpu-hour, --gpu-type"));
  section.items.push_back(count("attempts", "attempts", static_cast<double>(run.records.size())));
  section.items.push_back(
      count("billed_intervals", "billed intervals", static_cast<double>(run.bill.intervals.size())));
  section.items.push_back(seconds("running_s", "running", run.running_s));
  section.items.push_back(seconds("paused_s", "paused", run.paused_s));
  section.items.push_back(
      text("gpu_hours", "used",
           format_spend({.gpu_hours = run.total.gpu_hours, .amount = {}, .currency = run.currency})));
}

// Time by part, and the money of each interval shared out by it; what is billed beyond use stands apart.
CostSection parts_of(const RunCosts& run) {
  CostSection section{"parts", "Where it went", {}};
  const double recorded_s = run.parts.total_s();
  if (recorded_s <= 0.0) return section;
  std::array<double, kRunPartCount> amounts = {};
  double unused = 0.0;
  double unrecorded = 0.0;
  for (const BilledInterval& interval : run.bill.intervals) {
    if (interval.price.currency != run.currency) continue;
    const double per_s = interval.price.per_gpu_hour * interval.gpus / 3600.0;
    for (int i = 0; i < kRunPartCount; ++i)
      amounts[static_cast<std::size_t>(i)] += per_s * interval.parts[static_cast<RunPart>(i)];
    unused += per_s * (interval.rounding_s() + interval.held_s);
    unrecorded += per_s * (interval.running_s - interval.parts.total_s());
  }
  for (int i = 0; i < kRunPartCount; ++i) {
    const auto part = static_cast<RunPart>(i);
    const std::string name = run_part_name(part);
    std::string label = name;
    std::replace(label.begin(), label.end(), '_', ' ');
    const double amount = amounts[static_cast<std::size_t>(i)];
    section.items.push_back(seconds(name + "_s", label, run.parts[part],
                                    run.price.is_known() ? format_money(amount, run.currency) : ""));
    if (run.price.is_known()) section.items.push_back(money(name, "", amount, run.currency));
  }
  if (!run.price.is_known()) return section;
  if (std::abs(unrecorded) > 1e-9)
    section.items.push_back(money("unrecorded", "of attempts without parts", unrecorded, run.currency));
  section.items.push_back(money("unused", "billed, not used", unused, run.currency));
  section.items.push_back(money("storage", "storage, pauses included", storage_of(run), run.currency));
  return section;
}

CostSection what_ifs(const CostConfig& config, const RunCosts& run) {
  Tariff tariff;
  tariff.price = run.price;
  CostSection section = other_ways(config, tariff, run.amount, run.gpu_hours);
  const auto billed = [&](const char* name) {
    return amount_with(
        run, [&](BilledInterval& interval) { interval.billing.granularity_s = granularity_of(name); });
  };
  double held = 0.0;
  for (std::size_t i = 0; i < run.bill.pauses.size(); ++i) {
    for (const BilledInterval& interval : run.bill.intervals) {
      if (interval.last_attempt == run.bill.pauses[i].after_attempt &&
          interval.price.currency == run.currency)
        held += run.bill.pauses[i].seconds / 3600.0 * interval.gpus * interval.price.per_gpu_hour;
    }
  }
  section.items.insert(section.items.begin() + 1,
                       {money("held", "held in pauses", run.amount + held, run.currency),
                        money("per_hour", "billed per hour", billed("per-hour"), run.currency),
                        money("per_minute", "billed per minute", billed("per-minute"), run.currency),
                        money("per_second", "billed per second", billed("per-second"), run.currency)});
  return section;
}

// An attempt that neither finished nor paused was interrupted.
bool was_interrupted(const LedgerRecord& record) {
  constexpr std::array kInOrder = {"finished",  "early_stopped", "paused",    "off_peak",
                                   kFewerRanks, "budget",        "projection"};
  return std::find(kInOrder.begin(), kInOrder.end(), record.reason) == kInOrder.end();
}

CostSection interruptions_of(const RunCosts& run) {
  double before_last = 0.0;
  double so_far = 0.0;
  int interruptions = 0;
  for (const LedgerRecord& record : run.records) {
    if (record.currency == run.currency)
      so_far += record.price_per_gpu_hour * record.gpus * record.running_s / 3600.0;
    const bool is_last = record.attempt == run.records.back().attempt;
    if (!was_interrupted(record) || (is_last && !record.closed)) continue;
    ++interruptions;
    before_last = so_far;
  }
  CostSection section{"interruptions", "Interruptions", {}};
  section.items.push_back(count("interruptions", "attempts that were cut off", interruptions));
  if (!run.price.is_known() || interruptions == 0) return section;
  const double rework_share =
      run.parts.total_s() > 0.0 ? run.parts[RunPart::kRework] / run.parts.total_s() : 0.0;
  section.items.push_back(
      money("rework", "steps done again, with checkpoints", run.amount * rework_share, run.currency));
  section.items.push_back(
      money("without_checkpoints", "all that would be lost without", before_last, run.currency));
  return section;
}

void add_fewer_ranks(CostReport& report, const RunCosts& run) {
  const auto saving = saved_by_fewer_ranks(run.records);
  if (!saving) return;
  CostSection section{"fewer_ranks", "Fewer ranks (--adaptive-ranks)", {}};
  section.items.push_back(text("fewer_ranks", "ranks", describe(saving)));
  section.items.push_back(count("steps", "steps with fewer ranks", static_cast<double>(saving->steps)));
  if (saving->before) {
    const double before = *saving->before;
    section.items.push_back(
        money("all_ranks", "with all ranks", before, saving->currency, "at what a step cost before"));
    section.items.push_back(money("taken", "they cost", saving->taken, saving->currency));
    section.items.push_back(money("changes", "starting again", saving->changes, saving->currency));
    section.items.push_back(
        money("saved", "saved", before - saving->taken - saving->changes, saving->currency));
  }
  report.push_back(std::move(section));
}

void add_checkpoint_interval(CostReport& report, const CostConfig& config, const RunCosts& run) {
  const double save_s = config.save_time_s > 0.0 ? config.save_time_s : run.history.mean_save_s();
  const auto interruptions =
      static_cast<double>(std::count_if(run.records.begin(), run.records.end(), was_interrupted));
  const double met_s = interruptions > 0.0 ? run.running_s / interruptions : 0.0;
  const double mtbf_s = config.mtbf_hours > 0.0 ? config.mtbf_hours * 3600.0 / config.nodes : met_s;
  if (!(save_s > 0.0) || !(mtbf_s > 0.0)) return;
  const double interval_s =
      run.history.saves > 0 ? run.running_s / static_cast<double>(run.history.saves) : 0.0;
  report.push_back(checkpoint_interval(save_s, mtbf_s, interval_s, run.amount, run.currency));
}

}  // namespace

CostReport run_costs(const CostConfig& config) {
  CostReport report;
  std::map<std::string, double> sums;
  for (const std::string& dir : config.run_dirs) {
    const RunCosts run = read_run(dir);
    CostSection section{"run", dir, {}};
    add_totals(section, run);
    for (std::size_t i = 0; i < run.bill.remarks.size(); ++i)
      section.items.push_back(text("remark_" + std::to_string(i + 1), "remark", run.bill.remarks[i]));
    report.push_back(std::move(section));
    if (CostSection parts = parts_of(run); !parts.items.empty()) report.push_back(std::move(parts));
    if (run.price.is_known()) report.push_back(what_ifs(config, run));
    add_fewer_ranks(report, run);
    report.push_back(interruptions_of(run));
    add_checkpoint_interval(report, config, run);
    for (const auto& [currency, amount] : run.total.amounts) sums[currency] += amount;
  }
  if (config.run_dirs.size() > 1) {
    CostSection section{"all", "All runs", {}};
    for (const auto& [currency, amount] : sums)
      section.items.push_back(money("total_" + currency, "total", amount, currency,
                                    sums.size() > 1 ? "currencies are not added up" : ""));
    report.push_back(std::move(section));
  }
  return report;
}

}  // namespace lockstep
