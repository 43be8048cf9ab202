#include "trainer/config/cost_options.h"

#include <algorithm>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr const char* kCost = "Cost";
constexpr double kMostPerGpuHour = 1e6;  // in any currency; a price table is held to less
constexpr double kLargestAmount = 1e12;
constexpr double kMostExpectedHours = 1e7;

Rule number_from_zero(double most) {
  return {"a number from 0 to " + std::to_string(static_cast<long long>(most)),
          [=](const OptionValue& value) {
            const auto* number = std::get_if<double>(&value);
            return number != nullptr && *number >= 0 && *number <= most;
          }};
}

Rule share_above_zero() {
  return {"a number above 0, at most 1", [](const OptionValue& value) {
            const auto* number = std::get_if<double>(&value);
            return number != nullptr && *number > 0 && *number <= 1;
          }};
}

}  // namespace

Rule currency_code() {
  return {"a currency's code of three capital letters, such as USD or EUR", [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && text->size() == 3 &&
                   std::all_of(text->begin(), text->end(), [](char c) { return c >= 'A' && c <= 'Z'; });
          }};
}

std::vector<Option<TrainConfig>> cost_option_rows() {
  using C = TrainConfig;
  return {
      {"price-per-gpu-hour", kCost, &C::price_per_gpu_hour, "X",
       "Price of one rank's device for an hour, in --currency; wins over the table; 0: unknown, or the "
       "table's",
       number_from_zero(kMostPerGpuHour)},
      {"currency", kCost, &C::currency, "CODE", "Currency of all prices", currency_code()},
      {"gpu-type", kCost, &C::gpu_type, "NAME", "Take the price of this GPU from the price table",
       any_line()},
      {"price-table", kCost, &C::price_table, "FILE",
       "Price table: a SkyPilot catalog (CSV), or NAME.toml in the form of share/lockstep/prices.toml",
       any_line(), "the installed one"},
      {"region", kCost, &C::region, "NAME", "Region of the price table; without it the cheapest", any_line()},
      {"spot", kCost, &C::spot, "", "Take the table's spot price", true_or_false()},
      {"billing", kCost, &C::billing, "HOW",
       "How rented time is rounded up: exact, per-millisecond, per-second, per-minute or per-hour",
       one_of({"exact", "per-millisecond", "per-second", "per-minute", "per-hour"})},
      {"billing-minimum", kCost, &C::billing_minimum_s, "SECONDS",
       "Least time that a rental is billed for, seconds", number_from_zero(1e7)},
      {"pause-stops-billing", kCost, &C::pause_stops_billing, "",
       "The machine is given back while the run is paused; false: it is held, and paid for", true_or_false()},
      {"storage-gb", kCost, &C::storage_gb, "GB", "Storage that is rented all the time, GB",
       number_from_zero(1e9)},
      {"storage-price-per-gb-month", kCost, &C::storage_price_per_gb_month, "X",
       "Price of a GB of it for a month of 730 hours, in --currency", number_from_zero(kMostPerGpuHour)},
      {"budget", kCost, &C::budget, "X",
       "What the run may cost, in --currency: it is not started if it will cost more than the mark, and "
       "saves "
       "and stops at the mark with exit code 12; 0: no budget",
       number_from_zero(kLargestAmount)},
      {"budget-stop", kCost, &C::budget_stop, "SHARE", "The mark, as a share of --budget",
       share_above_zero()},
      {"budget-ledger", kCost, &C::budget_ledger, "FILE",
       "Count what all runs that share this file have spent this month (UTC) against --budget", any_line(),
       "this run's own spend"},
      {"expected-hours", kCost, &C::expected_hours, "X",
       "Hours that the whole run is expected to take (lockstep estimate says), held against --budget before "
       "anything is started; 0: by what runs with these options have measured",
       number_from_zero(kMostExpectedHours)},
      {"adaptive-ranks", kCost, &C::adaptive_ranks, "RULES",
       "Fewer ranks, by a pause and a resume, once the training loss has fallen or flattened: "
       "CONDITION:RANKS, several with commas. Conditions, of means of the loss: loss<X, loss<P% (of what it "
       "was), plateau(STEPS,SHARE) (it fell by less than that share), such as "
       "loss<0.5:2,plateau(500,0.01):1",
       any_line(), "never"},
      {"off-peak", kCost, &C::off_peak, "WINDOW",
       "Run in these hours only, pause and go on by itself: HH:MM-HH:MM[,days][,zone], such as "
       "22:00-06:00,mon-fri,Europe/Berlin",
       any_line(), "at any time"},
      {"on-finish", kCost, &C::on_finish, "COMMAND",
       "Run this, without a shell, when the run has ended, such as 'sudo shutdown now'", any_line(),
       "nothing"},
      {"on-finish-when", kCost, &C::on_finish_when, "HOW",
       "Ended how: success, stopped (that, paused, or the budget reached), or always",
       one_of({"success", "stopped", "always"})},
      {"on-finish-delay", kCost, &C::on_finish_delay_s, "SECONDS",
       "Countdown before it, which Ctrl-C cancels, seconds", number_from_zero(1e6)},
      {"idle-window", kCost, &C::idle_window_s, "SECONDS",
       "Act when for so long no step was done and the GPUs, else the CPU, were used under 10 %; 0: never",
       number_from_zero(1e7)},
      {"idle-action", kCost, &C::idle_action, "HOW",
       "What then: warn, pause, or a command, run without a shell", some_line()},
      {"yes", kCost, &C::yes, "", "Start, and go on up to the mark, although the projected cost is above it",
       true_or_false()},
  };
}

void check_cost_options(const TrainConfig& config) {
  const bool asks_table = !config.gpu_type.empty();
  const auto needs_gpu_type = [&](bool given, const char* name) {
    if (given && !asks_table)
      throw std::invalid_argument(std::string(name) +
                                  " needs --gpu-type NAME: the row of the price table that is meant");
  };
  needs_gpu_type(!config.price_table.empty(), "--price-table");
  needs_gpu_type(!config.region.empty(), "--region");
  needs_gpu_type(config.spot, "--spot");
  const bool priced = config.price_per_gpu_hour > 0.0 || asks_table;
  const auto needs_price = [&](bool given, const char* name) {
    if (given && !priced)
      throw std::invalid_argument(std::string(name) +
                                  " needs a price: --price-per-gpu-hour X, or --gpu-type NAME");
  };
  needs_price(config.budget > 0.0, "--budget");
  if (!config.budget_ledger.empty() && config.budget == 0.0)
    throw std::invalid_argument("--budget-ledger needs --budget X: what all runs of a month may cost");
  if (config.expected_hours > 0.0 && config.budget == 0.0)
    throw std::invalid_argument("--expected-hours needs --budget X: what its cost is held against");
  needs_price(config.storage_gb > 0.0 && config.storage_price_per_gb_month > 0.0, "--storage-gb");
  if (config.storage_gb > 0.0 && config.storage_price_per_gb_month == 0.0)
    throw std::invalid_argument("--storage-gb needs --storage-price-per-gb-month X");
}

}  // namespace lockstep
