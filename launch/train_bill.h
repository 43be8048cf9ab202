// The launcher's part in the bill of a training run: it starts with the launcher, and ends with it.
#pragma once

#include <filesystem>
#include <functional>

#include "trainer/config/train_config.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {

// Runs `job` within the bill: tells the ranks (LOCKSTEP_LAUNCH) when this launcher started; refuses to start
// what the budget does not allow, or asks on a terminal; and when the ranks are gone bills the time up to
// now. Goes on by itself after a pause for --off-peak, and with fewer ranks after one for --adaptive-ranks.
// `job` runs the ranks and returns an exit code. Throws as refuse_to_start() does.
struct BilledStart {
  bool yes = false;    // with --yes
  bool again = false;  // not the first, so without --fresh
  int most_ranks = 0;  // that --adaptive-ranks has left; 0: all
};
struct BilledJob {
  const TrainConfig& config;
  std::filesystem::path run_dir;
  int gpus = 1;
  std::function<int(const BilledStart&)> job;
};
int run_within_bill(const BilledJob& billed);

}  // namespace lockstep
