#include "launch/train_command.h"

#include <algorithm>
#include <stdexcept>

#include "launch/hostfile.h"
#include "launch/launch_options.h"
#include "launch/on_finish.h"
#include "launch/rank_job.h"
#include "launch/train_bill.h"
#include "trainer/bill/user_command.h"
#include "trainer/config/command_line.h"
#include "trainer/config/train_options.h"

namespace lockstep {
namespace {

int number_of_ranks(const LaunchOptions& launch) {
  const int hosts = launch.nnodes == 0 && !launch.hostfile.empty() ? count_hosts(launch.hostfile)
                                                                   : std::max(1, launch.nnodes);
  return launch.nproc_per_node * hosts;
}

// Checked before anything is started.
OnFinish on_finish_of(const TrainConfig& config) {
  OnFinish on_finish;
  on_finish.when = config.on_finish_when;
  on_finish.delay_s = config.on_finish_delay_s;
  if (config.on_finish.empty()) return on_finish;
  try {
    on_finish.command = split_words(config.on_finish);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("--on-finish: ") + error.what());
  }
  return on_finish;
}

}  // namespace

int run_train_command(const std::vector<std::string>& arguments) {
  const TrainCommandLine command_line = parse_train_command(arguments);
  RankJob job;
  job.launch = command_line.launch;
  job.program = "lockstep-train";
  job.program_override = "LOCKSTEP_TRAIN_PROGRAM";
  job.arguments = command_line.rank_arguments;
  job.num_threads = command_line.config.num_threads;
  job.needs_mpirun = command_line.config.backend == "mpi";
  job.run_dir = run_dir_of(command_line.config);
  job.timeout_s = command_line.config.timeout_s;
  job.restarts = {command_line.launch.max_restarts, command_line.launch.restart_delay_s};
  job.logical_world_size = command_line.config.logical_world_size;
  job.adapts_ranks = !command_line.config.adaptive_ranks.empty();
  job.fresh = command_line.config.fresh;
  job.on_first_signal = "pausing after this step; a second signal stops at once";
  if (job.launch.dry_run) return run_rank_job(job);
  const OnFinish on_finish = on_finish_of(command_line.config);
  const int code = run_within_bill(
      {command_line.config, job.run_dir, number_of_ranks(job.launch), [&](const BilledStart& start) {
         RankJob this_job = job;
         this_job.most_ranks = start.most_ranks;
         if (start.again) {
           this_job.fresh = false;
           std::erase(this_job.arguments, "--fresh=true");
         }
         if (start.yes && !command_line.config.yes) this_job.arguments.push_back("--yes=true");
         return run_rank_job(this_job);
       }});
  run_on_finish(on_finish, code);
  return code;
}

std::string train_command_help(const std::vector<std::string>& /*arguments*/) {
  return "usage: lockstep train [--nproc-per-node N] [--name value ...]\n\n"
         "Trains a model data-parallel. Ctrl-C, SIGTERM or SIGUSR1 pauses it after the step under way, with "
         "a\n"
         "checkpoint; the same command continues. A second signal stops it at once.\n"
         "Dashes and underscores in names are the same.\n" +
         format_help(help_entries(launch_options())) + format_help(help_entries(restart_options())) +
         format_help(train_help_entries()) +
         "\nExit codes: 0 finished, 2 usage, 3 bad input or data, 10 paused (run the same command again),\n"
         "11 a rank, a peer or the network failed (retryable), 12 the budget is reached.\n";
}

}  // namespace lockstep
