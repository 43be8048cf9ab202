// What the programs behind `lockstep compare`, `export` and `estimate` have in common: help, and how they
// end.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "trainer/run_dir/exit_code.h"

namespace lockstep {

// For main(): prints help() where it is asked for, else returns body()'s code. What body() throws becomes one
// line on stderr and the exit code of a usage error (std::invalid_argument), of bad input (DataError), or of
// a failure.
int run_file_program(int argc, char** argv, const std::function<std::string()>& help,
                     const std::function<ExitCode(const std::vector<std::string>& arguments)>& body);

}  // namespace lockstep
