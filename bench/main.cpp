// lockstep-bench: one rank of a benchmark. Parses, wires, and maps exceptions to exit codes; `lockstep bench`
// starts all ranks.
#include <ATen/Parallel.h>
#include <c10/util/Logging.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/collective_bench.h"
#include "bench/config/bench_command_line.h"
#include "bench/config/text_values.h"
#include "bench/step.h"
#include "bench/world.h"
#include "bench/wrong_result.h"
#include "comm/placement.h"
#include "trainer/rank_exit.h"
#include "trainer/signals.h"
#include "trainer/start_up.h"

namespace {

using lockstep::BenchWorld;
using lockstep::ExitCode;

// False if it was stopped on request.
bool run(const lockstep::CollectiveConfig& config, BenchWorld& world) {
  at::set_num_threads(1);
  return lockstep::run_collective_bench(config, world);
}

bool run(const lockstep::StepConfig& config, BenchWorld& world) {
  at::set_num_threads(config.num_threads);
  return lockstep::run_step_bench(config, world);
}

bool compares_with(const lockstep::BenchSetting& setting, const std::string& peer) {
  const auto peers = lockstep::split_list(setting.compare);
  return std::find(peers.begin(), peers.end(), peer) != peers.end();
}

lockstep::RankEnding measure(const lockstep::BenchConfig& config, const lockstep::Placement& placement) {
  const lockstep::BenchSetting& setting = lockstep::setting_of(config);
  BenchWorld world(setting, placement, compares_with(setting, "mpi"));
  try {
    const bool finished = std::visit([&](const auto& one) { return run(one, world); }, config);
    world.close();
    return finished
               ? lockstep::RankEnding{}
               : lockstep::RankEnding{ExitCode::kPaused, "stopped on request before everything was measured"};
  } catch (const lockstep::WrongResult& error) {
    world.close();
    return {ExitCode::kDifference, error.what()};
  } catch (const lockstep::AgreedStop&) {
    world.close();
    throw;
  } catch (const std::invalid_argument& error) {
    throw lockstep::LoneStop(ExitCode::kUsage,
                             error.what());  // the ranks have met, so it is no longer everybody's
  }
}

int run(const std::vector<std::string>& arguments, const lockstep::Placement& placement) {
  const int rank = placement.rank;
  if (std::find(arguments.begin(), arguments.end(), "--version") != arguments.end()) {
    std::puts("lockstep-bench " LOCKSTEP_VERSION);
    return 0;
  }
  if (lockstep::asks_for_help(arguments)) {
    std::puts(
        "usage: lockstep-bench NAME [--name value ...]\n\nOne rank of a benchmark; `lockstep bench` starts "
        "all of "
        "them, and `lockstep bench NAME --help` lists the options.");
    return 0;
  }
  lockstep::BenchConfig config;
  try {
    const std::string bench = lockstep::bench_name(arguments);
    const auto words = lockstep::with_long_flags(bench, {arguments.begin() + 1, arguments.end()});
    config = lockstep::resolve_bench_config(bench,
                                            lockstep::split_flags(words, lockstep::bench_flag_specs(bench)));
  } catch (const std::invalid_argument& error) {
    return lockstep::leave_before_meeting(rank, {ExitCode::kUsage, error.what()});
  }
  lockstep::end_rank(rank, [&] { return measure(config, placement); });
}

}  // namespace

int main(int argc, char** argv) {
  // c10d's stores warn of each host that has no name, as namespaces have none. For PyTorch's processes, too.
  setenv("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/0);
  c10::initLogging();
  lockstep::install_pause_signals(std::getenv("LOCKSTEP_LAUNCHER") != nullptr);
  lockstep::Placement placement;  // rank 0 until that is known
  try {
    placement = lockstep::read_placement();
  } catch (const std::invalid_argument& error) {
    return lockstep::leave_before_meeting(0, {ExitCode::kUsage, error.what()});
  }
  return run({argv + 1, argv + argc}, placement);
}
