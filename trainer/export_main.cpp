// lockstep-export: what `lockstep export` starts.
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/config/file_commands.h"
#include "trainer/config/file_program.h"
#include "trainer/python_export.h"
#include "trainer/run_dir/run_dir.h"

namespace {

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
  return lockstep::run_file_program(argc, argv, lockstep::export_help, [](const auto& arguments) {
    run(arguments);
    return lockstep::ExitCode::kFinished;
  });
}
