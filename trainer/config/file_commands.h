// The command lines of `lockstep export`, `compare` and `report`, checked by the launcher and read by the
// programs that it starts, or done by itself.
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

struct ReportConfig {
  std::vector<std::string> run_dirs;  // one or more
  std::string output;                 // empty: RUN_DIR/report.html, of several runs report.html
};

// `arguments` without the command's name. Throw std::invalid_argument for a wrong flag or number of files,
// DataError for a file that is not there.
ExportConfig parse_export_command(const std::vector<std::string>& arguments);
CompareConfig parse_compare_command(const std::vector<std::string>& arguments);
ReportConfig parse_report_command(const std::vector<std::string>& arguments);

std::string export_help();
std::string compare_help();
std::string report_help();

}  // namespace lockstep
