// `lockstep doctor`: looks at what a run would depend on, here or on hosts.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// Returns 0, or 1 where something is a failure. Throws std::invalid_argument (2) and DataError (3).
int run_doctor_command(const std::vector<std::string>& arguments);
std::string doctor_command_help(const std::vector<std::string>& arguments);

// `lockstep doctor-agent`, which it starts on each host.
int run_doctor_agent_command(const std::vector<std::string>& arguments);

}  // namespace lockstep
