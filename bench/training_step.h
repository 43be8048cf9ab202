// One training step of a model, without communication: what all contenders in this program share.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

#include "bench/config/step_config.h"
#include "trainer/models/model.h"
#include "trainer/optim/optimizer.h"
#include "trainer/precision.h"

namespace lockstep {

// Where and in what a step computes.
struct StepPlace {
  at::Device device = at::kCPU;
  Precision precision = Precision::k32True;
  bool channels_last = false;  // images and filters
};

// A built-in model with one batch of random data, its own loss and SGD (learning rate 0.01, momentum 0.9), as
// bench/peers/pytorch_step.py has it.
struct TrainingStep {
  static OptimizerOptions optimizer_options(at::Device device);

  // Every rank draws other data. Throws std::invalid_argument for a model that is unknown or cannot take the
  // sample.
  TrainingStep(const Workload& workload, int rank, const StepPlace& place = {});

  std::shared_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;
  at::Tensor data;    // (B, sample_sizes...), or as the model's data set of tokens lays them out
  at::Tensor target;  // (B), or likewise
  std::int64_t tokens_per_sample = 0;  // 0: it takes no tokens

  // The sizes that a model of tokens is made with; 0 for others, as in Workload where they are not its own.
  static DatasetShape shape_of(const Workload& workload);
  // Operations of one step of this rank (bench/flop_counter.h): a backward pass takes twice what a forward
  // pass does.
  double count_flop();

  // Drops the gradients, and computes the loss of `forward`'s logits.
  at::Tensor loss(const std::function<at::Tensor(const at::Tensor&)>& forward);
  // The same, and goes back.
  void backward(const std::function<at::Tensor(const at::Tensor&)>& forward);

 private:
  StepPlace place_;
  void move_to_place();
  void draw_tokens(const DatasetShape& shape, std::int64_t batch, const at::Generator& generator);
};

}  // namespace lockstep
