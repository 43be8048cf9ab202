// lockstep-train: one rank of a training run. Parses, wires, and maps exceptions to exit codes.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "comm/placement.h"
#include "sampler/data_error.h"
#include "trainer/config/command_line.h"
#include "trainer/rank_exit.h"
#include "trainer/session.h"
#include "trainer/signals.h"

namespace {

using lockstep::ExitCode;

int run(const std::vector<std::string>& arguments, const lockstep::Placement& placement) {
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
    return lockstep::leave_before_meeting(placement.rank, {ExitCode::kUsage, error.what()});
  } catch (const lockstep::DataError& error) {
    return lockstep::leave_before_meeting(placement.rank, {ExitCode::kBadInput, error.what()});
  }
  lockstep::end_rank(placement.rank, [&] {
    const lockstep::SessionEnd end = lockstep::run_session(command_line.config, placement);
    return lockstep::RankEnding{end.code, end.message};
  });
}

}  // namespace

int main(int argc, char** argv) {
  lockstep::install_pause_signals(std::getenv("LOCKSTEP_LAUNCHER") != nullptr);
  lockstep::Placement placement;  // rank 0 until that is known
  try {
    placement = lockstep::read_placement();
  } catch (const std::invalid_argument& error) {
    return lockstep::leave_before_meeting(0, {ExitCode::kUsage, error.what()});
  }
  return run({argv + 1, argv + argc}, placement);
}
