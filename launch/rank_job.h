// A job of ranks from its options to its exit code: what `train` and `bench` have in common.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "launch/launch_options.h"
#include "launch/restart_policy.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {

struct RankJob {
  LaunchOptions launch;
  std::string program;                 // of a rank; stands beside lockstep
  std::string program_override;        // an environment variable that names another one, for tests
  std::vector<std::string> arguments;  // of every rank
  int num_threads = 0;                 // CPU threads per rank; 0: a share of the cores
  bool needs_mpirun = false;           // even for one rank on this machine
  std::filesystem::path run_dir;       // where the ranks leave their exit reports, in .launch
  std::string command_text;            // as the user typed it, for what the ranks write down
  std::string on_first_signal;         // what a user who presses Ctrl-C is told
  double timeout_s = 0.0;              // after which a rank that stands still is ended; 0: never
  RestartLimits restarts = {};         // after a failure that may be tried again
  int logical_world_size = 0;          // 0: as many as there are ranks
  bool adapts_ranks = false;           // --adaptive-ranks may leave some out
  int most_ranks = 0;                  // that it has left; 0: all
  bool fresh = false;                  // the ranks set an old run aside
};

// Starts the ranks, supervises them, prints what there is to say and returns the exit code; with --dry-run
// prints the command instead. Throws std::invalid_argument and DataError for what cannot be started.
int run_rank_job(const RankJob& job);

// CLOCK_MONOTONIC, which the processes of a machine share.
std::int64_t monotonic_ns();

}  // namespace lockstep
