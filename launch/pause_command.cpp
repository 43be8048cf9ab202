#include "launch/pause_command.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <optional>
#include <stdexcept>

#include "launch/launcher_file.h"
#include "sampler/data_error.h"
#include "trainer/config/flags.h"
#include "trainer/config/option_value.h"
#include "trainer/metrics/metrics_end.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUsage = "usage: lockstep pause RUN_DIR [--timeout SECONDS]";
constexpr double kLongestS = 1e6;

constexpr double kUsualTimeoutS = 600.0;

std::string newest_checkpoint_text(const RunDir& run) {
  const auto steps = run.checkpoint_steps();
  return steps.empty() ? "there is no checkpoint"
                       : "the newest checkpoint is that of step " + std::to_string(steps.front());
}

// The living launcher of this machine. Throws DataError, saying what there is instead.
LauncherProcess find_launcher(const RunDir& run) {
  const std::string where = run.root().string();
  std::string other_host;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run.root() / ".launch", error)) {
    const auto launcher = read_launcher_file(entry.path());
    if (!launcher) {
      continue;
    }
    if (auto process = LauncherProcess::find(*launcher)) {
      return std::move(*process);
    }
    if (launcher->machine != this_launcher().machine) {
      other_host = "process " + std::to_string(launcher->pid) + " on " + launcher->host;
    }
  }
  if (!other_host.empty()) {
    throw DataError(where + " is run by " + other_host +
                    ", which cannot be reached from here; run lockstep pause there");
  }
  const auto end = last_metrics_end(run.metrics_file());
  if (end && end->reason == "finished") {
    throw DataError("no run is going on in " + where + ": it finished after step " +
                    std::to_string(end->step));
  }
  throw DataError("no run is going on in " + where + " (" + newest_checkpoint_text(run) +
                  "); name the --run-dir of a run that lockstep train has started");
}

}  // namespace

int run_pause_command(const std::vector<std::string>& arguments) {
  std::vector<std::string> flags = arguments;
  if (flags.empty() || flags.front().starts_with("--")) {
    throw std::invalid_argument(std::string("a run folder is missing; ") + kUsage);
  }
  const RunDir run(flags.front());
  flags.erase(flags.begin());
  double timeout_s = kUsualTimeoutS;
  for (const Flag& flag : split_flags(flags, {{"timeout"}})) {
    timeout_s = std::get<double>(
        parse_value("--" + flag.name, OptionKind::kNumber, number_above_zero(kLongestS), flag.value));
  }
  if (!fs::is_directory(run.root())) {
    throw DataError(run.root().string() + " is not there; name a run's folder");
  }
  const LauncherProcess launcher = find_launcher(run);
  if (!launcher.send(SIGUSR1) && errno != ESRCH) {
    throw DataError("the launcher of " + run.root().string() + " cannot be told (" + std::strerror(errno) +
                    "); ask its user, or root, to run lockstep pause");
  }
  if (!launcher.wait_for_end(timeout_s)) {
    throw std::runtime_error(
        "the run has not ended within --timeout; it still will, after the step and the save under way");
  }
  const auto end = last_metrics_end(run.metrics_file());
  if (!end) {
    throw std::runtime_error("the run has ended, but not in good order: what it printed says why; " +
                             newest_checkpoint_text(run));
  }
  if (end->reason == "paused") {
    std::cout << "paused after step " << end->step << "; the same lockstep train goes on" << std::endl;
  } else {
    std::cout << "ended after step " << end->step << ": " << end->reason << std::endl;
  }
  return 0;
}

std::string pause_command_help(const std::vector<std::string>& /*arguments*/) {
  return kUsage +
         std::string(
             "\n\nAsks a run that lockstep train has started on this machine to save and stop after the "
             "step\n"
             "under way, as Ctrl-C there does, and waits until it has.\n") +
         "\nOptions:\n"
         "  --timeout SECONDS   Longest wait for the step under way and the save, seconds; the request\n"
         "                      stays (default: 600)\n"
         "\nExit codes: 0 paused (or at its end before that), 2 usage, 3 no such run here, 11 it did not end "
         "in time,\n"
         "or failed.\n";
}

}  // namespace lockstep
