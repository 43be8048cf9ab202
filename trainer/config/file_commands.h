// The command lines of `lockstep export` and `lockstep compare`, checked by the launcher and read by the
// programs that it starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

struct ExportConfig {
  std::string source;      // a run folder or a checkpoint's folder
  std::string to;          // empty: SOURCE/step_N.pt
  std::int64_t step = -1;  // -1: the newest
};

struct CompareConfig {
  std::string a, b;  // runs, checkpoints, weight files, or logs of losses
  std::int64_t step = -1;
  bool json = false;
};

// `arguments` without the command's name. Throw std::invalid_argument for a wrong flag or number of files,
// DataError for a file that is not there.
ExportConfig parse_export_command(const std::vector<std::string>& arguments);
CompareConfig parse_compare_command(const std::vector<std::string>& arguments);

std::string export_help();
std::string compare_help();

}  // namespace lockstep
