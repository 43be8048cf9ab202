// The command line of `lockstep doctor`.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct DoctorConfig {
  std::string hostfile;  // empty: none
  std::string host;      // names with commas between them; empty: none
  std::string run_dir = "runs";
  double timeout_s = 10;  // for all hosts together
  bool json = false;

  std::vector<std::string> hosts;  // from either; empty: this machine
};

// Throws std::invalid_argument, and DataError for a host list that cannot be used.
DoctorConfig parse_doctor_command(const std::vector<std::string>& arguments);
std::string doctor_help();

}  // namespace lockstep
