#include "launch/report_command.h"

#include <filesystem>
#include <iostream>

#include "launch/mpirun.h"
#include "trainer/config/file_commands.h"
#include "trainer/report/run_report.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {

int run_report_command(const std::vector<std::string>& arguments) {
  const ReportConfig config = parse_report_command(arguments);
  std::filesystem::path output = config.output;
  if (output.empty())
    output = config.run_dirs.size() == 1 ? RunDir(config.run_dirs.front()).report_file() : "report.html";
  std::string command = "lockstep report";
  for (const std::string& argument : arguments) command += " " + shell_quoted(argument);
  std::vector<RunRecord> runs;
  for (const std::string& run_dir : config.run_dirs) runs.push_back(read_run(run_dir));
  for (const RunRecord& run : runs) {
    for (const std::string& line : run.damaged)
      std::cerr << "lockstep: warning: " << run.name << ": " << line << "; passed over\n";
  }
  write_run_report(runs, output, command);
  std::cout << output.string() << "\n";
  return 0;
}

std::string report_command_help(const std::vector<std::string>& /*arguments*/) {
  return report_help();
}

}  // namespace lockstep
