// `lockstep export`, `lockstep compare` and `lockstep estimate`: check the options and become the program
// that does it.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// Throw std::invalid_argument and DataError; return only so, since the program takes this process's place.
int run_export_command(const std::vector<std::string>& arguments);
int run_compare_command(const std::vector<std::string>& arguments);
int run_estimate_command(const std::vector<std::string>& arguments);

std::string export_command_help(const std::vector<std::string>& arguments);
std::string compare_command_help(const std::vector<std::string>& arguments);
std::string estimate_command_help(const std::vector<std::string>& arguments);

}  // namespace lockstep
