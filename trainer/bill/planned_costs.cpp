#include "trainer/bill/planned_costs.h"

#include <cstdio>
#include <map>

#include "trainer/bill/tariff_options.h"
#include "trainer/cost/interruptions.h"
#include "trainer/cost/price_table.h"

namespace lockstep {
namespace {

std::string percent(double share) {
  char digits[64];
  std::snprintf(digits, sizeof digits, "%.0f %%", 100.0 * share);
  return digits;
}

// The price for a useful hour: what is billed for hours that bring the run forward.
void compare_spot(CostSection& section, const CostConfig& config, const Tariff& tariff, double amount) {
  const double on_demand = tariff.price.per_gpu_hour;
  const bool given = config.spot_price > 0.0;
  if (given && on_demand <= 0.0) return;
  const double ratio = given ? config.spot_price / on_demand : 1.0 - config.spot_discount;
  const double spot = amount * ratio * config.goodput / config.spot_goodput;
  section.items.push_back(money("spot", "on spot", spot, tariff.price.currency,
                                given ? "" : "assuming " + percent(config.spot_discount) + " below"));
  section.items.push_back(text("cheaper", "cheaper for useful hours",
                               spot < amount   ? "spot"
                               : spot > amount ? "on demand"
                                               : "the same"));
}

// The cheapest row of each GPU, at the same number of hours.
void add_table(CostSection& section, const CostConfig& config, const Tariff& tariff, double gpu_hours) {
  std::map<std::string, double> cheapest;
  for (const PriceRow& row : read_price_table(table_of(config.price_table))) {
    if (row.currency != tariff.price.currency || !row.on_demand) continue;
    const auto [found, is_new] = cheapest.emplace(row.gpu_type, *row.on_demand);
    if (!is_new && *row.on_demand < found->second) found->second = *row.on_demand;
  }
  for (const auto& [gpu_type, price] : cheapest)
    section.items.push_back(money("row_" + gpu_type, "at the price of " + gpu_type, price * gpu_hours,
                                  tariff.price.currency, "if it were as fast"));
}

CostSection the_plan(const CostConfig& config, const Tariff& tariff, double full) {
  const std::string& currency = tariff.price.currency;
  CostSection section{"plan", "The plan", {}};
  if (config.hours > 0.0 && config.run_cost == 0.0) {
    section.title += ": " + describe(tariff);
    section.items.push_back(
        seconds("billed_s", "billed on each GPU", billed_seconds(tariff.billing, config.hours * 3600.0)));
  }
  if (full > 0.0) section.items.push_back(money("total", "GPUs", full, currency));
  if (config.storage_gb > 0.0) {
    const double storage_s = config.months > 0.0 ? config.months * kMonth_s : config.hours * 3600.0;
    const double storage = storage_amount(tariff.storage, storage_s);
    section.items.push_back(money("storage", "storage", storage, currency));
    if (full > 0.0)
      section.items.push_back(money("total_with_storage", "together", full + storage, currency));
  }
  return section;
}

CostSection paying_while_running(double full, double active, const std::string& currency) {
  return {"pauses",
          "Paying only while something runs (" + percent(active) + " of the time)",
          {money("held", "machines held", full, currency),
           money("paused", "given back in pauses", full * active, currency),
           money("saved", "saved", full * (1.0 - active), currency, percent(1.0 - active))}};
}

CostSection interruption(double full, double completed, const std::string& currency) {
  return {"interruption",
          "An interruption with " + percent(completed) + " of the run done",
          {money("lost_without_checkpoint", "lost without a checkpoint", full * completed, currency)}};
}

}  // namespace

Tariff tariff_of(const CostConfig& config) {
  TrainConfig train;
  train.price_per_gpu_hour = config.price;
  train.currency = config.currency;
  train.gpu_type = config.gpu_type;
  train.price_table = config.price_table;
  train.region = config.region;
  train.spot = config.spot;
  train.billing = config.billing;
  train.billing_minimum_s = config.billing_minimum_s;
  train.storage_gb = config.storage_gb;
  train.storage_price_per_gb_month = config.storage_price_per_gb_month;
  return tariff_of(train);
}

CostSection other_ways(const CostConfig& config, const Tariff& tariff, double amount, double gpu_hours) {
  const std::string& currency = tariff.price.currency;
  CostSection section{"other_ways", "The same in other ways", {}};
  section.items.push_back(money("on_demand", "as it is", amount, currency));
  if (!config.spot) compare_spot(section, config, tariff, amount);
  section.items.push_back(money("reserved", "reserved", amount * (1.0 - config.reserved_discount), currency,
                                "assuming " + percent(config.reserved_discount) + " below"));
  if (config.off_peak_discount > 0.0)
    section.items.push_back(money("off_peak", "off-peak", amount * (1.0 - config.off_peak_discount), currency,
                                  percent(config.off_peak_discount) + " below"));
  if (!config.gpu_type.empty() || !config.price_table.empty()) add_table(section, config, tariff, gpu_hours);
  return section;
}

CostSection checkpoint_interval(double save_s, double mtbf_s, double interval_s, double amount,
                                const std::string& currency) {
  const double best_s = young_interval_s(save_s, mtbf_s);
  CostSection section{"checkpoint_interval", "How often to save", {}};
  section.items = {
      seconds("save_s", "a save takes", save_s), seconds("mtbf_s", "a failure comes every", mtbf_s),
      seconds("young_s", "best interval (Young)", best_s),
      seconds("daly_s", "best interval (Daly)", daly_interval_s(save_s, mtbf_s)),
      share("best_overhead", "time it takes, rework included", checkpoint_overhead(best_s, save_s, mtbf_s))};
  if (interval_s > 0.0) {
    const double overhead = checkpoint_overhead(interval_s, save_s, mtbf_s);
    section.items.push_back(seconds("interval_s", "the run saved every", interval_s));
    section.items.push_back(share("overhead", "time that takes", overhead));
    if (amount > 0.0)
      section.items.push_back(money("worth", "worth of the best interval",
                                    amount * (overhead - checkpoint_overhead(best_s, save_s, mtbf_s)),
                                    currency));
  }
  return section;
}

CostReport planned_costs(const CostConfig& config) {
  const Tariff tariff = tariff_of(config);
  const std::string& currency = tariff.price.currency;
  const double used_s = config.hours * 3600.0;
  const double full = config.run_cost > 0.0
                          ? config.run_cost
                          : tariff.price.per_gpu_hour * config.gpus *
                                (used_s > 0.0 ? billed_seconds(tariff.billing, used_s) : 0.0) / 3600.0;
  CostReport report;
  if (CostSection plan = the_plan(config, tariff, full); !plan.items.empty())
    report.push_back(std::move(plan));
  const double active = config.paused_hours > 0.0 ? 1.0 - config.paused_hours / config.hours : config.active;
  if (full > 0.0 && (config.paused_hours > 0.0 || config.active > 0.0))
    report.push_back(paying_while_running(full, active, currency));
  if (full > 0.0 && config.completed > 0.0) report.push_back(interruption(full, config.completed, currency));
  if (full > 0.0) report.push_back(other_ways(config, tariff, full, config.hours * config.gpus));
  if (config.save_time_s > 0.0 && config.mtbf_hours > 0.0)
    report.push_back(checkpoint_interval(config.save_time_s, config.mtbf_hours * 3600.0 / config.nodes, 0.0,
                                         full, currency));
  return report;
}

}  // namespace lockstep
