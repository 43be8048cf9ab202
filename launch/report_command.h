// `lockstep report`: draws runs from what they left behind. Links no LibTorch.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

// Prints the file that it wrote, and a warning for each damaged line that it passed over; 0. Throws
// std::invalid_argument and DataError.
int run_report_command(const std::vector<std::string>& arguments);

std::string report_command_help(const std::vector<std::string>& arguments);

}  // namespace lockstep
