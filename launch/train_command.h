// `lockstep train`: checks everything that can be checked here, starts the ranks, and tells how it ended.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// Returns the exit code (docs/launch.md). Throws std::invalid_argument (2) and DataError (3) before anything
// is started.
int run_train_command(const std::vector<std::string>& arguments);
std::string train_command_help(const std::vector<std::string>& arguments = {});

}  // namespace lockstep
