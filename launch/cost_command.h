// `lockstep cost`: what runs cost, from their ledgers, or what a plan would.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// Returns 0. Throws std::invalid_argument (2) and DataError (3).
int run_cost_command(const std::vector<std::string>& arguments);
std::string cost_command_help(const std::vector<std::string>& arguments);

}  // namespace lockstep
