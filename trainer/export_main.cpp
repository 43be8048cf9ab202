// lockstep-export: what `lockstep export` starts.
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "sampler/data_error.h"
#include "trainer/config/file_commands.h"
#include "trainer/config/flags.h"
#include "trainer/python_export.h"
#include "trainer/run_dir/exit_code.h"
#include "trainer/run_dir/run_dir.h"

namespace {

using lockstep::ExitCode;

int fail(ExitCode code, const char* message) {
  std::fprintf(stderr, "lockstep: error: %s\n", message);
  return static_cast<int>(code);
}

void run(const std::vector<std::string>& arguments) {
  const lockstep::ExportConfig config = lockstep::parse_export_command(arguments);
  const lockstep::Checkpoint checkpoint = lockstep::open_checkpoint(config.source, config.step);
  const std::filesystem::path to =
      config.to.empty() ? std::filesystem::path(config.source) /
                              (lockstep::RunDir("").checkpoint(checkpoint.step).filename().string() + ".pt")
                        : std::filesystem::path(config.to);
  lockstep::export_checkpoint(checkpoint, lockstep::options_of_run(config.source), to);
  std::printf("%s: step %lld\n", to.c_str(), static_cast<long long>(checkpoint.step));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (lockstep::asks_for_help(arguments)) {
      std::fputs(lockstep::export_help().c_str(), stdout);
      return 0;
    }
    run(arguments);
    return 0;
  } catch (const std::invalid_argument& error) {
    return fail(ExitCode::kUsage, error.what());
  } catch (const lockstep::DataError& error) {
    return fail(ExitCode::kBadInput, error.what());
  } catch (const std::exception& error) {
    return fail(ExitCode::kPeerFailed, error.what());
  }
}
