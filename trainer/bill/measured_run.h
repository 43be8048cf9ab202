// What runs with the same options have measured: what a run will take, before anything is started.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "trainer/config/train_config.h"

namespace lockstep {

struct MeasuredRun {
  std::filesystem::path run_dir;  // of the run that was measured
  std::int64_t steps = 0;         // that were
  double step_s = 0.0;            // with all that its data and its peers made it wait
  double start_up_s = 0.0;        // of the last attempt
  double evaluation_s = 0.0;      // 0: none was measured
  double save_s = 0.0;            // how long training stood still for one
  std::int64_t steps_per_epoch = 1;

  // Of a run with these options from after `step` to its end, the start included.
  double remaining_s(const TrainConfig& config, std::int64_t step) const;
};

// None where `run_dir` holds no run on as many GPUs with the options that decide how long a step takes, or
// one that has measured too little.
std::optional<MeasuredRun> measured_run(const std::filesystem::path& run_dir, const TrainConfig& config,
                                        int gpus);

// In `run_dir`, else in the newest run that --budget-ledger knows of.
std::optional<MeasuredRun> find_measured_run(const std::filesystem::path& run_dir, const TrainConfig& config,
                                             int gpus);

}  // namespace lockstep
