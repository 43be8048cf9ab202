// `lockstep pause`: asks the launcher of a run for a pause and waits for it.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// Returns 0 once the run has ended in good order. Throws std::invalid_argument (2), DataError (3) where there
// is nothing to pause, std::runtime_error (11) if the run did not end within --timeout, or ended otherwise.
int run_pause_command(const std::vector<std::string>& arguments);
std::string pause_command_help(const std::vector<std::string>& arguments = {});

}  // namespace lockstep
