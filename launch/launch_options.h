// The flags of `lockstep train` that are the launcher's own, and its whole command line.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/help_text.h"
#include "trainer/config/option.h"
#include "trainer/config/train_config.h"

namespace lockstep {

struct LaunchOptions {
  int nproc_per_node = 1;
  int nnodes = 0;                // 0: every host of the hostfile, or this machine
  std::string hostfile;          // empty: this machine, or what the batch system allotted
  std::string warm_heap = "on";  // on | off
  bool dry_run = false;
  int max_restarts = 0;          // train only, as what follows
  double restart_delay_s = 1.0;  // before the first
  int min_nproc = 0;             // ranks to go on with at least; 0: all
};

const std::vector<Option<LaunchOptions>>& launch_options();
const std::vector<Option<LaunchOptions>>& restart_options();

struct TrainCommandLine {
  LaunchOptions launch;
  TrainConfig config;                       // as the ranks will resolve it
  std::vector<std::string> rank_arguments;  // for every rank: --name=value
};

// Checks all of it, the ranks' part too, so that a typing error starts no process. Throws as
// parse_command_line().
TrainCommandLine parse_train_command(const std::vector<std::string>& arguments);

}  // namespace lockstep
