// `lockstep bench scaling`: runs the benchmarks that a study is made of, one after the other, and reports.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// The exit code. Throws std::invalid_argument and DataError before anything was started.
int run_scaling_command(const std::vector<std::string>& arguments);

}  // namespace lockstep
