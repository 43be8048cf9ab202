// The command line of `lockstep cost`.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct CostConfig {
  std::vector<std::string> run_dirs;  // empty: a plan is reckoned with
  bool json = false;

  // The price.
  double price = 0.0;  // per GPU-hour; 0: the table's, or for runs the ledger's
  std::string currency = "USD";
  std::string gpu_type;
  std::string price_table;  // empty: the one that is installed
  std::string region;
  bool spot = false;

  // The plan.
  double hours = 0.0;
  double gpus = 1.0;
  std::string billing = "exact";
  double billing_minimum_s = 0.0;
  double paused_hours = 0.0;  // of `hours`
  double active = 0.0;        // share of `hours` that is not paused; 0: not given
  double storage_gb = 0.0;
  double storage_price_per_gb_month = 0.0;
  double months = 0.0;         // of storage; 0: `hours`
  double run_cost = 0.0;       // of a run or a month that is known; 0: hours x gpus x price
  double completed = 0.0;      // share of the run that was done when it was interrupted; 0: not given
  double goodput = 1.0;        // useful time / billed time, on demand
  double spot_price = 0.0;     // per GPU-hour; 0: by the discount
  double spot_discount = 0.7;  // below on demand
  double spot_goodput = 1.0;
  double reserved_discount = 0.4;
  double off_peak_discount = 0.0;  // 0: not given

  // Checkpoints.
  double save_time_s = 0.0;  // 0: as the runs measured it
  double mtbf_hours = 0.0;   // of one node; 0: as the runs met it
  int nodes = 1;
};

// `arguments` without the command's name: run folders, then flags. Throws std::invalid_argument for a wrong
// flag, or a plan without its hours, DataError for a folder that is not there.
CostConfig parse_cost_command(const std::vector<std::string>& arguments);
std::string cost_help();

}  // namespace lockstep
