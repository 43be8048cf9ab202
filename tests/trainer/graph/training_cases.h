// Runs of a small model in which every device has to find what a captured step may get wrong: dropout, batch
// norm's buffers, a learning rate that moves, an overflow, batches that are accumulated, an epoch's short
// last batch.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "comm/sync_batch_norm.h"
#include "sampler/synthetic_dataset.h"
#include "tests/temporary_folder.h"
#include "trainer/model_state.h"
#include "trainer/random_state.h"
#include "trainer/trainer.h"

namespace lockstep::testing {

class SmallModel final : public Model {
 public:
  explicit SmallModel(double dropout)
      : first_(register_module("first", torch::nn::Linear(12, 24))),
        norm_(register_module("norm", SyncBatchNorm(torch::nn::BatchNormOptions(24)))),
        dropout_(register_module("dropout", torch::nn::Dropout(dropout))),
        last_(register_module("last", torch::nn::Linear(24, 5))) {}
  at::Tensor forward(at::Tensor data) override {
    return last_->forward(dropout_->forward(norm_->forward(first_->forward(data.flatten(1))).relu()));
  }

 private:
  torch::nn::Linear first_;
  SyncBatchNorm norm_;
  torch::nn::Dropout dropout_;
  torch::nn::Linear last_;
};

struct TrainingCase {
  std::string name;
  TrainConfig config;
  int replays = 0;  // of the run's steps, where it is captured
};

// Two epochs and more of 40 samples per rank: batches of 16, 16 and 8.
inline TrainConfig small_run() {
  TrainConfig config;
  config.model = "small";
  config.data = "synthetic";
  config.batch_size = 16;
  config.max_epochs = 4;
  config.eval_batch_size = 16;
  config.num_workers = 0;
  config.log_every_n_steps = 1000;  // so that on a GPU most losses are not read
  config.progress_bar = false;
  config.no_report = true;
  config.lr = 0.1;
  config.device = "cpu";
  config.num_threads = 1;
  return config;
}

inline std::vector<TrainingCase> training_cases() {
  std::vector<TrainingCase> cases;
  const auto add = [&](std::string name, int replays, const std::function<void(TrainConfig&)>& change) {
    TrainConfig config = small_run();
    change(config);
    cases.push_back({std::move(name), config, replays});
  };
  // Of twelve steps the first three and the short ones (3, 6, 9, 12) are done eagerly.
  add("SgdWithACosine", 6, [](TrainConfig& config) { config.lr_schedule = "cosine"; });
  add("FusedAdamwWithAnExponential", 6, [](TrainConfig& config) {
    config.optimizer = "adamw";
    config.lr = 0.01;
    config.lr_schedule = "exponential";
    config.lr_gamma = 0.8;
    config.fused_optimizer = "on";
    config.gradient_clip_val = 0.5;
  });
  // The scale halves until gradients fit, and doubles after every second step in which they do.
  add("Float16WithOverflows", 6, [](TrainConfig& config) {
    config.precision = "16-mixed";
    config.grad_scaler_init_scale = 1 << 19;
    config.grad_scaler_growth_interval = 2;
    config.fused_optimizer = "on";
    config.lr_schedule = "linear";
    config.lr_end_factor = 0.1;
  });
  add("OneCycle", 6, [](TrainConfig& config) {
    config.lr_schedule = "one-cycle";
    config.fused_optimizer = "on";
  });
  // Two steps an epoch: of two full batches, and of the short one.
  add("AccumulatedBatches", 2, [](TrainConfig& config) {
    config.accumulate_grad_batches = 2;
    config.precision = "bf16-mixed";
    config.fused_optimizer = "on";
  });
  return cases;
}

// What a run came to.
struct Result {
  NamedTensors model;
  at::Tensor random_state;
  std::vector<std::string> steps;  // what the log says about each: loss, rate, norm, scale
  std::vector<std::string> events;
};

struct Run {
  TrainConfig config;
  CommunicatorPtr communicator;
  at::Device device = at::kCPU;
  double dropout = 0.25;
  std::unique_ptr<StepRecording> recording = nullptr;
  std::shared_ptr<const Dataset> data = nullptr;
};

// Ranks that are threads draw from one generator, one after the other.
inline std::shared_ptr<SmallModel> make_small_model(std::uint64_t seed, double dropout) {
  static std::mutex drawing;
  const std::scoped_lock lock(drawing);
  seed_everything(seed);
  return std::make_shared<SmallModel>(dropout);
}

// Trains in `folder`, where it goes on from the newest checkpoint, if there is one.
inline Result train(Run run, const std::filesystem::path& folder) {
  const RunDir run_dir(folder);
  run.config.run_dir = folder.string();
  const LogicalRanks logical_ranks(0, *run.communicator, run.device);
  if (run.communicator->rank() == 0) run_dir.create();
  const std::int64_t samples = 40 * run.communicator->world_size();
  const auto make = [&](Split split) {
    return std::make_shared<SyntheticDataset>(7, split, samples, std::vector<std::int64_t>{1, 3, 4}, 5);
  };
  TrainerParts parts{.config = run.config,
                     .communicator = run.communicator,
                     .device = run.device,
                     .logical_ranks = logical_ranks,
                     .data = {run.data ? run.data : make(Split::kTrain), make(Split::kTest)},
                     .model = make_small_model(run.config.seed, run.dropout),
                     .checkpoint = {},
                     .read_time_s = {},
                     .start = {},
                     .run_dir = run_dir,
                     .terminal_columns = 0,
                     .nodes = 1,
                     .recording = std::move(run.recording)};
  parts.model->to(run.device);
  parts.checkpoint =
      CheckpointManager(run_dir, 3, [](const std::string& line) { ADD_FAILURE() << line; }).load_newest();
  const std::shared_ptr<Model> model = parts.model;
  if (parts.checkpoint) {
    load_into(parts.checkpoint->model, model_state(*model), "the checkpoint", "");
  }
  Result result;
  {
    Trainer trainer(std::move(parts));
    EXPECT_EQ(trainer.fit(), ExitCode::kFinished);
  }
  for (const auto& [name, tensor] : model_state(*model))
    result.model.emplace_back(name, tensor.cpu().clone());
  result.random_state = random_state(run.device);
  std::istringstream lines(read_text(run_dir.metrics_file()));
  for (std::string line; std::getline(lines, line);) {
    const auto record = nlohmann::json::parse(line);
    const std::string kind = record.at("kind");
    if (kind == "event") result.events.push_back(record.at("event"));
    if (kind != "train") continue;
    std::string step;
    for (const char* field : {"step", "loss", "lr", "grad_norm", "loss_scale", "samples_seen"})
      step += std::string(field) + " " + (record.contains(field) ? record.at(field).dump() : "-") + " ";
    result.steps.push_back(step);
  }
  return result;
}

inline void expect_same_bits(const Result& a, const Result& b) {
  ASSERT_EQ(a.model.size(), b.model.size());
  for (std::size_t i = 0; i < a.model.size(); ++i)
    EXPECT_TRUE(at::equal(a.model[i].second, b.model[i].second)) << a.model[i].first;
  EXPECT_TRUE(at::equal(a.random_state, b.random_state)) << "as many random numbers drawn";
  EXPECT_EQ(a.steps, b.steps);
}

}  // namespace lockstep::testing
