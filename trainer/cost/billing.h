// Billing: what a provider makes of the time that a machine was rented, and what storage costs.
#pragma once

#include <string>
#include <vector>

#include "trainer/cost/spend.h"

namespace lockstep {

// How the time of one rental, from its start to its end, becomes billed time.
struct Billing {
  double granularity_s = 0.0;       // whole granules are billed, begun ones too; 0: exactly what was used
  double minimum_s = 0.0;           // of each rental
  bool pause_stops_billing = true;  // false: the machine is held, and paid for, while the run is paused

  bool operator==(const Billing&) const = default;
};

// Billed whether the run is running or paused. A month is 730 hours.
struct Storage {
  double gb = 0.0;
  double price_per_gb_month = 0.0;

  bool operator==(const Storage&) const = default;
};
inline constexpr double kMonth_s = 730.0 * 3600.0;

// All that is known about what a run is charged.
struct Tariff {
  Price price;
  Billing billing;
  Storage storage;
  std::string gpu_type;  // empty: not known
  std::string source;    // where the price is from; empty: not known
  std::string date;      // of the price, as its source has it
};

// "exact", "per-millisecond", "per-second", "per-minute", "per-hour".
const std::vector<std::string>& billing_names();
// Throws std::invalid_argument for any other name.
double granularity_of(const std::string& billing_name);

double billed_seconds(const Billing& billing, double used_s);
// gb x price x months.
double storage_amount(const Storage& storage, double seconds);

}  // namespace lockstep
