// lockstep-compare: what `lockstep compare` starts.
#include <cstdio>
#include <string>

#include "trainer/compare/comparison.h"
#include "trainer/compare/comparison_report.h"
#include "trainer/config/file_commands.h"
#include "trainer/config/file_program.h"

int main(int argc, char** argv) {
  using lockstep::ExitCode;
  return lockstep::run_file_program(argc, argv, lockstep::compare_help, [](const auto& arguments) {
    const auto config = lockstep::parse_compare_command(arguments);
    const lockstep::Comparison comparison = lockstep::compare(config);
    const std::string report = config.json ? comparison_json(comparison) : comparison_text(comparison);
    std::fputs(report.c_str(), stdout);
    return comparison.equal() ? ExitCode::kFinished : ExitCode::kDifference;
  });
}
