#include "trainer/cost/billing.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>

namespace lockstep {
namespace {

struct Named {
  const char* name;
  double granularity_s;
};
constexpr std::array<Named, 5> kBillings = {{{"exact", 0.0},
                                             {"per-millisecond", 1e-3},
                                             {"per-second", 1.0},
                                             {"per-minute", 60.0},
                                             {"per-hour", 3600.0}}};

}  // namespace

const std::vector<std::string>& billing_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const Named& billing : kBillings) all.emplace_back(billing.name);
    return all;
  }();
  return names;
}

double granularity_of(const std::string& billing_name) {
  for (const Named& billing : kBillings) {
    if (billing_name == billing.name) return billing.granularity_s;
  }
  throw std::invalid_argument("\"" + billing_name +
                              "\" is no billing; use exact, per-millisecond, per-second, per-minute or "
                              "per-hour");
}

double billed_seconds(const Billing& billing, double used_s) {
  if (!(used_s > 0.0)) return billing.minimum_s;
  const double least = std::max(used_s, billing.minimum_s);
  if (billing.granularity_s <= 0.0) return least;
  // Sums of seconds carry rounding errors: a billionth of a granule more is no new one.
  constexpr double kRounding = 1e-9;
  const double granules = least / billing.granularity_s;
  return std::ceil(granules - std::max(kRounding, granules * 1e-12)) * billing.granularity_s;
}

double storage_amount(const Storage& storage, double seconds) {
  return storage.gb * storage.price_per_gb_month * seconds / kMonth_s;
}

}  // namespace lockstep
