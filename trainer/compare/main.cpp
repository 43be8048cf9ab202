// lockstep-compare: what `lockstep compare` starts.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

#include "sampler/data_error.h"
#include "trainer/compare/comparison.h"
#include "trainer/compare/comparison_report.h"
#include "trainer/config/file_commands.h"
#include "trainer/config/flags.h"
#include "trainer/run_dir/exit_code.h"

namespace {

using lockstep::ExitCode;

int fail(ExitCode code, const char* message) {
  std::fprintf(stderr, "lockstep: error: %s\n", message);
  return static_cast<int>(code);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (lockstep::asks_for_help(arguments)) {
      std::fputs(lockstep::compare_help().c_str(), stdout);
      return 0;
    }
    const auto config = lockstep::parse_compare_command(arguments);
    const lockstep::Comparison comparison = lockstep::compare(config);
    const std::string report = config.json ? comparison_json(comparison) : comparison_text(comparison);
    std::fputs(report.c_str(), stdout);
    return static_cast<int>(comparison.equal() ? ExitCode::kFinished : ExitCode::kDifference);
  } catch (const std::invalid_argument& error) {
    return fail(ExitCode::kUsage, error.what());
  } catch (const lockstep::DataError& error) {
    return fail(ExitCode::kBadInput, error.what());
  } catch (const std::exception& error) {
    return fail(ExitCode::kPeerFailed, error.what());
  }
}
