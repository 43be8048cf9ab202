// The launcher's part in the bill of a training run: it starts with the launcher, and ends with it.
#pragma once

#include <filesystem>
#include <functional>

#include "trainer/config/train_config.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {

// Runs `job` within the bill: tells the ranks (LOCKSTEP_LAUNCH) when this launcher started; refuses to start
// what the budget does not allow, or asks on a terminal; and when the ranks are gone bills the time up to
// now. `job` runs the ranks and returns an exit code; `yes`: with --yes; `again`: after a refusal that came
// when the run had been measured, so without --fresh. Throws as refuse_to_start() does.
struct BilledJob {
  const TrainConfig& config;
  std::filesystem::path run_dir;
  int gpus = 1;
  std::function<int(bool yes, bool again)> job;
};
int run_within_bill(const BilledJob& billed);

}  // namespace lockstep
