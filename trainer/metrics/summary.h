// The final table: what a run did, where its time went and what it cost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "trainer/cost/run_parts.h"
#include "trainer/metrics/costs.h"
#include "trainer/metrics/peak_memory.h"
#include "trainer/metrics/step_timer.h"

namespace lockstep {

struct RunSummary {
  std::string model;
  std::int64_t num_parameters = 0;
  std::string data;  // Dataset::description()
  int world_size = 1;
  int logical_world_size = 1;
  std::string device;   // "cpu", "cuda"
  std::string backend;  // "mpi", "nccl", "gloo"
  std::string precision;
  std::int64_t epochs = 0;  // finished, over all attempts
  std::int64_t max_epochs = 0;
  std::int64_t steps = 0;      // over all attempts
  double elapsed_s = 0.0;      // of this attempt
  double samples_per_s = 0.0;  // all ranks together, in this attempt
  StepTimes times;             // of this attempt's steps
  std::optional<double> train_loss;
  std::optional<double> test_loss;
  std::optional<double> test_accuracy;          // in [0, 1]
  std::string checkpoint;                       // the newest one's folder; empty: none
  std::optional<PeakDeviceMemory> peak_device;  // rank 0's, in this attempt
  RunPartTimes parts;                           // of this attempt
  Costs costs;                                  // over all attempts
  std::optional<Spend> per_epoch;
  std::string fewer_ranks;  // what --adaptive-ranks has saved; empty: nothing, yet
};

// A table in plain text, every line at most 80 columns and ended by a newline. Rows without a value are left
// out.
std::string format_summary(const RunSummary& summary);

}  // namespace lockstep
