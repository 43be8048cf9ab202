// What a plan costs: hours, GPUs and a price that the user gives.
#pragma once

#include "trainer/bill/cost_config.h"
#include "trainer/bill/cost_report.h"
#include "trainer/cost/billing.h"

namespace lockstep {

// The tariff that the options name, the price table looked up. Throws as tariff_of().
Tariff tariff_of(const CostConfig& config);

CostReport planned_costs(const CostConfig& config);

// What other ways of renting would make of `amount`, which was paid on demand for `gpu_hours`: spot,
// reserved, off-peak, and the table's other rows if one is used.
CostSection other_ways(const CostConfig& config, const Tariff& tariff, double amount, double gpu_hours);

// How often to save, for a save that takes `save_s` and failures every `mtbf_s` (of the whole job); the gain
// over `interval_s`, if that is above 0.
CostSection checkpoint_interval(double save_s, double mtbf_s, double interval_s, double amount,
                                const std::string& currency);

}  // namespace lockstep
