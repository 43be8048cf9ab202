// What a line of metrics.jsonl says. docs/contracts.md lists the fields; a member here is a field of the same
// name there unless its comment says otherwise.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/cost/run_parts.h"
#include "trainer/metrics/costs.h"
#include "trainer/metrics/peak_memory.h"
#include "trainer/metrics/step_timer.h"

namespace lockstep {

// An attempt begins.
struct StartRecord {
  int world_size = 1;
  int logical_world_size = 1;
  std::string device;     // "cpu", "cuda"
  std::string backend;    // "mpi", "nccl", "gloo"
  std::string precision;  // "32-true", "bf16-mixed", "16-mixed"
  std::string reduction_order;
  int num_threads = 0;  // CPU threads of each rank
  std::string model;
  std::int64_t num_parameters = 0;
  std::string data;
  std::int64_t train_samples = 0;
  std::int64_t test_samples = 0;
  std::string optimizer;
  double lr = 0.0;
  std::int64_t batch_size = 0;  // per rank and forward pass
  std::int64_t accumulate_grad_batches = 1;
  std::int64_t max_epochs = 0;
  std::int64_t max_steps = -1;  // -1: no limit
  std::uint64_t seed = 0;
  std::int64_t step = 0;                           // steps done in earlier attempts: where this one goes on
  Price price;                                     // fields price_per_gpu_hour (null if unknown) and currency
  std::string price_source, price_date, gpu_type;  // left out if empty
  double budget = 0.0;                             // 0: none; left out
  std::vector<std::pair<std::string, std::string>>
      versions;  // {"lockstep", "0.1.0"}, {"torch", "2.11.0"}, ...
  std::vector<std::pair<std::string, std::string>> nccl_environment;  // with backend nccl; left out if empty
};

// Every log_every_n_steps steps.
struct TrainRecord {
  std::int64_t epoch = 0;         // counts from 0
  std::int64_t step = 0;          // optimizer steps done, over all attempts
  std::int64_t samples_seen = 0;  // by all ranks together, over all attempts
  double loss = 0.0;              // of this step, averaged over ranks
  double lr = 0.0;
  double samples_per_s = 0.0;  // all ranks together, over the steps since the last record
  StepTimes times;  // since the last record; fields steps, step_time_s and <part>_s, means per step
  std::int64_t bytes_sent = 0;       // by rank 0 for collectives, in this attempt
  std::int64_t rework_steps = 0;     // of `times`, done by an earlier attempt already; left out if 0
  double elapsed_s = 0.0;            // of this attempt
  Costs costs;                       // docs/contracts.md, *spend*
  std::optional<double> grad_norm;   // where clipping computes it
  std::optional<double> loss_scale;  // of this step, with --precision 16-mixed
  std::optional<PeakDeviceMemory> peak_device;  // fields peak_device_allocated_bytes, ..._reserved_bytes
};

// After an evaluation.
struct EvalRecord {
  std::int64_t epoch = 0;
  std::int64_t step = 0;
  double loss = 0.0;
  double accuracy = 0.0;  // in [0, 1]
  std::int64_t samples = 0;
  double eval_time_s = 0.0;
  double elapsed_s = 0.0;
};

// Something that happened once.
struct EventRecord {
  std::string event;  // "checkpoint", "resume", "restart", "first_step", "stop"
  std::int64_t step = 0;
  std::optional<double> save_time_s = {};     // checkpoint: how long training stood still for it
  std::optional<double> write_time_s = {};    // checkpoint: how long it then took to bring it to the disk
  std::optional<double> read_time_s = {};     // resume: how long rank 0 took to read the checkpoint
  std::optional<double> since_launch_s = {};  // first_step: from the start of the command to that step's end
  std::string detail = {};                    // for people; left out if empty
  double elapsed_s = 0.0;
  // first_step after a restart: from the failure to the end of that step.
  std::optional<double> since_failure_s = {};
};

// An attempt ends in good order. A file whose last attempt has none was killed.
struct EndRecord {
  std::string reason;  // "finished", "paused", "budget", "non_finite_loss", "failed"
  int exit_code = 0;
  std::int64_t epochs = 0;  // finished, over all attempts
  std::int64_t step = 0;
  std::int64_t samples_seen = 0;
  std::optional<double> train_loss;
  std::optional<double> test_loss;
  std::optional<double> test_accuracy;
  double elapsed_s = 0.0;
  RunPartTimes parts;
  Costs costs;
  std::optional<PeakDeviceMemory> peak_device;  // as of a TrainRecord
};

}  // namespace lockstep
