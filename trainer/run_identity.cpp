#include "trainer/run_identity.h"

#include <ATen/Version.h>
#include <torch/version.h>

#include <algorithm>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

std::string sync_batchnorm(const TrainConfig& config, int ranks) {
  if (!config.sync_batchnorm) return "false";
  const std::int64_t size = config.sync_batchnorm_group_size;
  return size == 0 || size == ranks ? "true" : "in groups of " + std::to_string(size);
}

}  // namespace

Identity run_identity(const TrainConfig& config, int logical_ranks, const Dataset& train) {
  Identity identity = {
      {"model", config.model},
      {"data", config.data},
      {"training samples", std::to_string(train.size())},
      {"optimizer", config.optimizer},
      {"seed", std::to_string(config.seed)},
      {"ranks", std::to_string(logical_ranks)},
      {"batch size", std::to_string(config.batch_size)},
      {"accumulated batches", std::to_string(config.accumulate_grad_batches)},
      {"shuffle", config.shuffle ? "true" : "false"},
      {"drop last", config.drop_last ? "true" : "false"},
      {"sync batchnorm", sync_batchnorm(config, logical_ranks)},
      {"precision", config.precision},
      {"communication hook", config.comm_hook},
      {"reduction order", config.reduction_order},
  };
  const DatasetShape shape = train.shape();
  if (shape.sequence_length > 0) {
    identity.emplace_back("sequence length", std::to_string(shape.sequence_length));
    identity.emplace_back("vocabulary", std::to_string(shape.vocabulary_size));
  }
  return identity;
}

Identity circumstances(const TrainConfig& config) {
  Identity all = {
      {"device", config.device},
      {"processor", config.device == "cpu" ? at::get_cpu_capability() : "any"},
      {"num threads", std::to_string(config.num_threads)},
      {"memory format", config.memory_format},
      {"matmul precision", config.matmul_precision},
      {"LibTorch", TORCH_VERSION},
  };
  if (config.device == "cpu" && config.fused_optimizer == "on")
    all.emplace_back("optimizer's kernels", "fused");
  if (config.precision == "16-mixed")
    all.emplace_back("gradient scaler's growth interval", std::to_string(config.grad_scaler_growth_interval));
  return all;
}

namespace {

std::string describe_differences(const Identity& saved, const Identity& current, bool unknown_counts) {
  std::string differences;
  for (const auto& [name, value] : current) {
    const auto found = std::find_if(saved.begin(), saved.end(),
                                    [&, key = name](const auto& item) { return item.first == key; });
    if (found == saved.end() && !unknown_counts) continue;
    const std::string was = found == saved.end() ? "unknown" : found->second;
    if (was == value) continue;
    differences += (differences.empty() ? "" : "; ") + name + " was " + was + ", is " + value;
  }
  return differences;
}

}  // namespace

std::string list_differences(const Identity& saved, const Identity& current) {
  return describe_differences(saved, current, /*unknown_counts=*/false);
}

void check_identity(const Identity& saved, const Identity& current) {
  const std::string differences = describe_differences(saved, current, /*unknown_counts=*/true);
  if (!differences.empty()) {
    throw DataError("the checkpoint is of another run: " + differences +
                    " (go on as before, choose another --run-dir, or start over with --fresh, which keeps "
                    "the old run aside)");
  }
}

}  // namespace lockstep
