#include "launch/cost_command.h"

#include <iostream>

#include "trainer/bill/cost_config.h"
#include "trainer/bill/planned_costs.h"
#include "trainer/bill/run_costs.h"

namespace lockstep {

int run_cost_command(const std::vector<std::string>& arguments) {
  const CostConfig config = parse_cost_command(arguments);
  const CostReport report = config.run_dirs.empty() ? planned_costs(config) : run_costs(config);
  std::cout << (config.json ? to_json_text(report) : to_plain_text(report)) << std::flush;
  return 0;
}

std::string cost_command_help(const std::vector<std::string>& /*arguments*/) {
  return cost_help();
}

}  // namespace lockstep
