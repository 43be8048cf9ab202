#include "trainer/bill/measured_run.h"

#include <algorithm>
#include <array>
#include <exception>
#include <limits>
#include <string>

#include "sampler/ceil_div.h"
#include "trainer/bill/team_ledger.h"
#include "trainer/config/config_file.h"
#include "trainer/config/train_options.h"
#include "trainer/cost/ledger.h"
#include "trainer/metrics/metrics_history.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

// As many as the first projection of a run takes (run_bill.cpp), with those that warm up.
constexpr std::int64_t kLeastSteps = 13;

// In which two runs have to be alike for a step of one to take as long as one of the other.
constexpr std::array kDecide = {"model",
                                "data",
                                "synthetic-samples",
                                "sequence-length",
                                "batch-size",
                                "optimizer",
                                "precision",
                                "accumulate-grad-batches",
                                "drop-last",
                                "sync-batchnorm",
                                "sync-batchnorm-group-size",
                                "comm-hook",
                                "vocab-size",
                                "num-workers",
                                "record-hashes",
                                "gpu-type",
                                "matmul-precision",
                                "memory-format",
                                "activation-checkpointing"};

bool decides_alike(const TrainConfig& one, const TrainConfig& other) {
  const auto is_same = [&](const char* name) {
    const auto* option = find_option(train_options(), name);
    return option->get(one) == option->get(other);
  };
  // What is recorded is what `auto` came to.
  const bool device = one.device == "auto" || one.device == other.device;
  const bool threads = one.num_threads == 0 || one.num_threads == other.num_threads;
  return device && threads && std::all_of(kDecide.begin(), kDecide.end(), is_same);
}

std::int64_t total_steps(const TrainConfig& config, std::int64_t steps_per_epoch) {
  std::int64_t by_epochs = 0;
  if (__builtin_mul_overflow(config.max_epochs, steps_per_epoch, &by_epochs))
    by_epochs = std::numeric_limits<std::int64_t>::max();
  return config.max_steps >= 0 ? std::min(config.max_steps, by_epochs) : by_epochs;
}

}  // namespace

double MeasuredRun::remaining_s(const TrainConfig& config, std::int64_t step) const {
  const std::int64_t total = total_steps(config, steps_per_epoch);
  if (step >= total) return 0.0;
  const std::int64_t epochs = ceil_div(total, steps_per_epoch) - step / steps_per_epoch;
  return start_up_s + static_cast<double>(total - step) * step_s +
         static_cast<double>(epochs) * (evaluation_s + save_s);
}

std::optional<MeasuredRun> measured_run(const std::filesystem::path& folder, const TrainConfig& config,
                                        int gpus) {
  const RunDir run_dir(folder);
  TrainConfig measured;
  std::vector<LedgerRecord> records;
  try {
    read_config_file(run_dir.config_file(), measured);
    records = read_ledger(run_dir.ledger_file());
  } catch (const std::exception&) {
    return std::nullopt;  // of another version, or nothing of ours
  }
  const MetricsHistory history = read_metrics_history(run_dir.metrics_file());
  const std::int64_t samples = history.train_samples;
  if (!decides_alike(config, measured) || history.world_size != gpus || history.logical_world_size < 1 ||
      samples < 1)
    return std::nullopt;
  MeasuredRun run;
  run.run_dir = folder;
  double steps_s = 0.0;
  std::int64_t reached = 0;
  for (const LedgerRecord& record : records) {
    const std::int64_t steps = std::max<std::int64_t>(0, record.step - reached);
    reached = std::max(reached, record.step);
    if (record.gpus != gpus) continue;
    run.steps += steps;
    run.start_up_s = record.parts[RunPart::kStartUp];
    steps_s += record.parts[RunPart::kCompute] + record.parts[RunPart::kExposedCommunication] +
               record.parts[RunPart::kData];
  }
  if (run.steps < kLeastSteps) return std::nullopt;
  run.step_s = steps_s / static_cast<double>(run.steps);
  run.evaluation_s = history.mean_evaluation_s();
  run.save_s = history.mean_save_s();
  const std::int64_t of_rank = config.drop_last
                                   ? std::max<std::int64_t>(1, samples / history.logical_world_size)
                                   : ceil_div(samples, history.logical_world_size);
  run.steps_per_epoch = ceil_div(ceil_div(of_rank, config.batch_size), config.accumulate_grad_batches);
  return run;
}

std::optional<MeasuredRun> find_measured_run(const std::filesystem::path& run_dir, const TrainConfig& config,
                                             int gpus) {
  if (auto own = measured_run(run_dir, config, gpus)) return own;
  if (config.budget_ledger.empty()) return std::nullopt;
  for (const std::string& other : TeamLedger::runs(config.budget_ledger)) {
    if (auto theirs = measured_run(other, config, gpus)) return theirs;
  }
  return std::nullopt;
}

}  // namespace lockstep
