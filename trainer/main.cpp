// lockstep-train: one rank of a training run. Parses, wires, and maps exceptions to exit codes;
// docs/launch.md says how it gets its exit code past mpirun.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "comm/errors.h"
#include "comm/placement.h"
#include "sampler/data_error.h"
#include "trainer/checkpoint/durable_file.h"
#include "trainer/config/command_line.h"
#include "trainer/run_dir/exit_code.h"
#include "trainer/session.h"
#include "trainer/signals.h"
#include "trainer/start_up.h"

namespace {

using lockstep::ExitCode;

// Where this process stands, for messages and reports; rank 0 until that is known.
lockstep::Placement g_placement;

std::string this_rank() {
  return "rank " + std::to_string(g_placement.rank) + ": ";
}

void print_error(const std::string& message) {
  std::fprintf(stderr, "lockstep: error: %s\n", message.c_str());
}

// Leaves a report for the launcher, which then speaks for all ranks. False if there is none, or it cannot be
// told.
bool report(ExitCode code, const std::string& message) {
  const auto dir = lockstep::exit_report_dir();
  return !dir.empty() && lockstep::write_exit_report(dir, {g_placement.rank, code, message});
}

// An end that all ranks share: rank 0 says it. To mpirun a reported one is no failure, since it would
// otherwise kill ranks that are still writing.
int leave_together(ExitCode code, const std::string& message) {
  if (report(code, message)) return 0;
  if (g_placement.rank == 0 && code == ExitCode::kPaused) std::printf("lockstep: %s\n", message.c_str());
  if (g_placement.rank == 0 && code != ExitCode::kPaused && !message.empty()) print_error(message);
  return static_cast<int>(code);
}

// An error before the ranks have met. All ranks most likely have the same, so rank 0 says it; another rank
// speaks up only if rank 0's end has not ended it by then.
int leave_before_meeting(ExitCode code, const std::string& message) {
  if (report(code, message)) return static_cast<int>(code);
  if (g_placement.rank != 0) std::this_thread::sleep_for(std::chrono::seconds(1));
  print_error(message);
  return static_cast<int>(code);
}

// An error of this rank alone: there is nobody left to agree with, and nothing may wait for the peers.
[[noreturn]] void leave_alone(ExitCode code, const std::string& message) {
  if (!report(code, message)) print_error(message);
  std::fflush(nullptr);
  _exit(static_cast<int>(code));
}

int run(const std::vector<std::string>& arguments) {
  lockstep::CommandLine command_line;
  try {
    command_line = lockstep::parse_command_line(arguments);
    if (command_line.help) {
      std::fputs(lockstep::train_help().c_str(), stdout);
      return 0;
    }
    if (command_line.version) {
      std::puts("lockstep-train " LOCKSTEP_VERSION);
      return 0;
    }
  } catch (const std::invalid_argument& error) {
    return leave_before_meeting(ExitCode::kUsage, error.what());
  } catch (const lockstep::DataError& error) {
    return leave_before_meeting(ExitCode::kBadInput, error.what());
  }
  try {
    const lockstep::SessionEnd end = lockstep::run_session(command_line.config, g_placement);
    return leave_together(end.code, end.message);
  } catch (const lockstep::AgreedStop& stop) {
    return leave_together(stop.code(), stop.what());
  } catch (const lockstep::LoneStop& stop) {
    leave_alone(stop.code(), this_rank() + stop.what());
  } catch (const std::invalid_argument& error) {
    return leave_before_meeting(ExitCode::kUsage, error.what());
  } catch (const lockstep::DiskFullError& error) {
    leave_alone(ExitCode::kPeerFailed, this_rank() + error.what());
  } catch (const lockstep::DataError& error) {
    leave_alone(ExitCode::kBadInput, this_rank() + error.what());
  } catch (const lockstep::CommError& error) {
    leave_alone(ExitCode::kPeerFailed, error.what());  // says which rank by itself
  } catch (const std::exception& error) {
    const std::string text = error.what();  // LibTorch's go on with a stack trace
    leave_alone(ExitCode::kPeerFailed, this_rank() + text.substr(0, text.find('\n')));
  }
}

}  // namespace

int main(int argc, char** argv) {
  lockstep::install_pause_signals(std::getenv("LOCKSTEP_LAUNCHER") != nullptr);
  try {
    g_placement = lockstep::read_placement();
  } catch (const std::invalid_argument& error) {
    return leave_before_meeting(ExitCode::kUsage, error.what());
  }
  return run({argv + 1, argv + argc});
}
