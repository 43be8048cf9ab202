// `lockstep bench`: checks the options and runs the ranks of lockstep-bench.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// The exit code. Throws std::invalid_argument and DataError before anything was started.
int run_bench_command(const std::vector<std::string>& arguments);

// Of the benchmark that is the first of `arguments`, or the list of all.
std::string bench_command_help(const std::vector<std::string>& arguments);

}  // namespace lockstep
