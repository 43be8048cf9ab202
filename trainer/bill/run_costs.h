// What runs cost, from their ledgers and metrics.
#pragma once

#include "trainer/bill/cost_config.h"
#include "trainer/bill/cost_report.h"

namespace lockstep {

// A section and its what-ifs for each of config.run_dirs, and for several of them the sum by currency:
// amounts in different currencies are not added up. Throws DataError for a folder without a ledger.
CostReport run_costs(const CostConfig& config);

}  // namespace lockstep
