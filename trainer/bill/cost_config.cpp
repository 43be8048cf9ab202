#include "trainer/bill/cost_config.h"

#include <filesystem>
#include <stdexcept>

#include "sampler/data_error.h"
#include "trainer/config/cost_options.h"
#include "trainer/config/help_text.h"
#include "trainer/config/option.h"
#include "trainer/config/set_flags.h"
#include "trainer/cost/billing.h"

namespace lockstep {
namespace {

constexpr const char* kPrice = "The price";
constexpr const char* kPlan = "The plan (without RUN_DIR)";
constexpr const char* kWhatIf = "What if";
constexpr double kMostPrice = 1e6;
constexpr double kMostAmount = 1e12;
constexpr double kMostHours = 1e7;

const std::vector<Option<CostConfig>>& cost_options() {
  using C = CostConfig;
  static const std::vector<Option<C>> options = {
      {"price", kPrice, &C::price, "X", "Price of a GPU-hour; wins over the table",
       number_above_zero(kMostPrice), "the table's, or the ledger's"},
      {"currency", kPrice, &C::currency, "CODE", "Its currency", currency_code()},
      {"gpu-type", kPrice, &C::gpu_type, "NAME", "Take the price of this GPU from the price table",
       any_line()},
      {"price-table", kPrice, &C::price_table, "FILE", "A SkyPilot catalog (CSV), or NAME.toml of ours",
       any_line(), "the installed one"},
      {"region", kPrice, &C::region, "NAME", "Region of the table; without it the cheapest", any_line()},
      {"spot", kPrice, &C::spot, "", "Take the table's spot price", true_or_false()},

      {"hours", kPlan, &C::hours, "X", "Hours on every GPU", number_above_zero(kMostHours), "none"},
      {"gpus", kPlan, &C::gpus, "N", "GPUs", number_above_zero(1e6)},
      {"run-cost", kPlan, &C::run_cost, "X", "What the run, or the month, costs if that is known",
       number_above_zero(kMostAmount), "hours x GPUs x price"},
      {"paused-hours", kPlan, &C::paused_hours, "X", "Of --hours, how many nothing runs",
       number_above_zero(kMostHours), "none"},
      {"active", kPlan, &C::active, "SHARE", "Or the share of the time in which something runs",
       number_above_zero(1), "all"},
      {"billing", kPlan, &C::billing, "HOW",
       "How rented time is rounded up: exact, per-millisecond, per-second, per-minute or per-hour",
       one_of(billing_names())},
      {"billing-minimum", kPlan, &C::billing_minimum_s, "SECONDS", "Least time that a rental is billed for",
       number_not_negative()},
      {"storage-gb", kPlan, &C::storage_gb, "GB", "Storage, GB", number_above_zero(1e9), "none"},
      {"storage-price-per-gb-month", kPlan, &C::storage_price_per_gb_month, "X",
       "Price of a GB of it for a month of 730 hours", number_above_zero(kMostPrice), "none"},
      {"months", kPlan, &C::months, "X", "Months of storage", number_above_zero(1e5), "--hours"},
      {"completed", kPlan, &C::completed, "SHARE",
       "Share of the run that was done when it was interrupted, as 0.3 for 30 of 100 epochs",
       number_above_zero(1), "none"},

      {"spot-price", kWhatIf, &C::spot_price, "X", "Price of a GPU-hour on spot",
       number_above_zero(kMostPrice), "the table's, or by --spot-discount"},
      {"spot-discount", kWhatIf, &C::spot_discount, "SHARE", "How far spot is below on demand",
       number_from_zero_below_one()},
      {"goodput", kWhatIf, &C::goodput, "SHARE", "Useful over billed time, on demand", number_above_zero(1)},
      {"spot-goodput", kWhatIf, &C::spot_goodput, "SHARE", "The same on spot, where machines are taken away",
       number_above_zero(1)},
      {"reserved-discount", kWhatIf, &C::reserved_discount, "SHARE", "How far reserved is below on demand",
       number_from_zero_below_one()},
      {"off-peak-discount", kWhatIf, &C::off_peak_discount, "SHARE", "How far off-peak hours are below",
       number_from_zero_below_one()},
      {"save-time", kWhatIf, &C::save_time_s, "SECONDS", "How long training stands still for a checkpoint",
       number_above_zero(1e6), "as the run measured it"},
      {"mean-time-between-failures", kWhatIf, &C::mtbf_hours, "HOURS", "Of one node",
       number_above_zero(kMostHours), "as the run met it"},
      {"nodes", kWhatIf, &C::nodes, "N", "Nodes, any of which may fail", integer_between(1, 1 << 20)},

      {"json", "Output", &C::json, "", "Print JSON instead of lines for people", true_or_false()},
  };
  return options;
}

const std::string kUsage =
    "usage: lockstep cost RUN_DIR... [--name value ...]\n"
    "       lockstep cost --hours X --gpus N --price X [--name value ...]";

void check(const CostConfig& config) {
  const auto refuse = [](const std::string& reason) { throw std::invalid_argument(reason); };
  if (config.gpu_type.empty() && (!config.price_table.empty() || !config.region.empty() || config.spot))
    refuse("--price-table, --region and --spot need --gpu-type NAME: the row of the table that is meant");
  if (config.paused_hours > 0.0 && config.active > 0.0)
    refuse("--paused-hours with --active: both say how much of the time nothing runs; give one of them");
  if (!config.run_dirs.empty()) {
    if (config.hours > 0.0 || config.run_cost > 0.0)
      refuse("--hours and --run-cost describe a plan; leave them out, or the run folders");
    return;
  }
  const bool storage = config.storage_gb > 0.0 && config.storage_price_per_gb_month > 0.0;
  const bool interval = config.save_time_s > 0.0 && config.mtbf_hours > 0.0;
  if (config.hours == 0.0 && config.run_cost == 0.0 && !interval && !(storage && config.months > 0.0))
    refuse("a run folder or a plan is missing; " + kUsage.substr(0, kUsage.find('\n')) +
           ", or --hours X with a price, --run-cost X, --storage-gb with --months, or --save-time with "
           "--mean-time-between-failures");
  if (config.hours > 0.0 && config.run_cost == 0.0 && config.price == 0.0 && config.gpu_type.empty())
    refuse("--hours needs a price: --price X, or --gpu-type NAME");
  if (config.paused_hours > config.hours) refuse("--paused-hours must be at most --hours");
}

}  // namespace

CostConfig parse_cost_command(const std::vector<std::string>& arguments) {
  CostConfig config;
  std::size_t next = 0;
  for (; next < arguments.size() && !arguments[next].starts_with("--"); ++next) {
    std::error_code error;
    if (!std::filesystem::is_directory(arguments[next], error))
      throw DataError(arguments[next] + " is no folder; name the folder of a run");
    config.run_dirs.push_back(arguments[next]);
  }
  set_flags(cost_options(), {arguments.begin() + static_cast<std::ptrdiff_t>(next), arguments.end()}, config);
  check(config);
  return config;
}

std::string cost_help() {
  return kUsage +
         "\n\nWhat runs cost, where the money went, and what it would have cost otherwise: from their "
         "ledgers,\n"
         "or for a plan. Nothing is changed.\n" +
         format_help(help_entries(cost_options())) +
         "\nExit codes: 0 printed, 2 usage, 3 no ledger, or one that cannot be read.\n";
}

}  // namespace lockstep
