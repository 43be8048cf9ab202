#include "trainer/python_export.h"

#include <ATen/core/Dict.h>
#include <ATen/core/List.h>
#include <ATen/core/jit_type.h>

#include <algorithm>

#include "sampler/data_error.h"
#include "trainer/checkpoint/durable_file.h"
#include "trainer/checkpoint/safetensors.h"
#include "trainer/checkpoint/train_state_file.h"
#include "trainer/config/config_file.h"
#include "trainer/exchange/python_optimizer.h"
#include "trainer/model_state.h"
#include "trainer/run_dir/run_dir.h"
#include "trainer/train_state.h"
#include "trainer/update_options.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Dict = c10::impl::GenericDict;

bool is_checkpoint(const fs::path& folder) {
  std::error_code error;
  return fs::is_regular_file(folder / "meta.json", error);
}

// GradScaler.state_dict().
Dict python_scaler_state(const GradScalerState& state, std::int64_t growth_interval) {
  const GradScalerOptions options;
  Dict dict(c10::AnyType::get(), c10::AnyType::get());
  dict.insert("scale", state.scale);
  dict.insert("growth_factor", options.growth_factor);
  dict.insert("backoff_factor", options.backoff_factor);
  dict.insert("growth_interval", growth_interval);
  dict.insert("_growth_tracker", state.growth_tracker);
  return dict;
}

c10::IValue to_python(const Checkpoint& checkpoint, const TrainConfig& config) {
  const TrainState state = train_state_from(checkpoint.train_state);
  Dict model(c10::AnyType::get(), c10::AnyType::get());
  for (const auto& [name, tensor] : with_shared_names(checkpoint.model, config.model))
    model.insert(name, tensor);
  std::int64_t num_parameters = 0;  // each is in one bucket
  for (const auto& bucket : state.buckets.assignment)
    num_parameters += static_cast<std::int64_t>(bucket.size());
  OptimizerOptions options = optimizer_options(config);
  options.lr = state.lr;
  if (state.momentum) options.momentum = options.beta1 = *state.momentum;
  const LrScheduleOptions schedule = lr_schedule_options(config, 0);
  c10::impl::GenericList random_states(c10::AnyType::get());
  for (const at::Tensor& random_state : state.random_states) random_states.push_back(random_state);

  Dict scaler(c10::AnyType::get(), c10::AnyType::get());
  if (state.grad_scaler) scaler = python_scaler_state(*state.grad_scaler, config.grad_scaler_growth_interval);

  Dict dict(c10::AnyType::get(), c10::AnyType::get());
  dict.insert("model", model);
  dict.insert("optimizer", python_optimizer_state(state.optimizer_name, options, state.optimizer,
                                                  num_parameters, config.lr, schedule));
  dict.insert("scheduler", python_scheduler_state(schedule, state.schedule_steps, state.lr));
  dict.insert("scaler", scaler);  // empty, as a GradScaler's that is not enabled
  dict.insert("step", state.step);
  dict.insert("epoch", state.epoch);
  dict.insert("batch", state.batch);
  dict.insert("samples_seen", state.samples_seen);
  dict.insert("random_states", random_states);
  return dict;
}

}  // namespace

Checkpoint open_checkpoint(const fs::path& folder, std::int64_t step) {
  if (is_checkpoint(folder)) return CheckpointManager::load(folder);
  const RunDir run_dir(folder);
  const auto steps = run_dir.checkpoint_steps();
  if (steps.empty()) {
    throw DataError(folder.string() + " is neither a run folder with a checkpoint nor a checkpoint's folder");
  }
  if (step < 0) step = steps.front();
  if (std::find(steps.begin(), steps.end(), step) == steps.end()) {
    std::string there;
    for (const std::int64_t known : steps) there += (there.empty() ? "" : ", ") + std::to_string(known);
    throw DataError(folder.string() + " has no checkpoint of step " + std::to_string(step) + "; it has " +
                    there);
  }
  return CheckpointManager::load(run_dir.checkpoint(step));
}

TrainConfig options_of_run(const fs::path& folder) {
  const fs::path root =
      is_checkpoint(folder) ? fs::weakly_canonical(folder).parent_path().parent_path() : folder;
  TrainConfig config;
  read_config_file(RunDir(root).config_file(), config);
  return config;
}

void export_checkpoint(const Checkpoint& checkpoint, const TrainConfig& config, const fs::path& to) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(to, error)))
    throw DataError(to.string() + " is there already; remove it, or name another file with --to");
  const fs::path unfinished = to.string() + ".part";
  fs::remove(unfinished, error);
  try {
    if (is_safetensors(to)) {
      write_safetensors(unfinished, checkpoint.model);
    } else {
      write_train_state(unfinished, to_python(checkpoint, config));
    }
    rename_path(unfinished, to);
  } catch (...) {
    fs::remove(unfinished, error);
    throw;
  }
}

}  // namespace lockstep
