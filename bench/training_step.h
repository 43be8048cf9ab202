// One training step of a model, without communication: what all contenders in this program share.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

#include "bench/config/step_config.h"
#include "trainer/models/model.h"
#include "trainer/optim/optimizer.h"

namespace lockstep {

// A built-in model with one batch of random data, cross entropy and SGD (learning rate 0.01, momentum 0.9),
// as bench/peers/pytorch_step.py has it.
struct TrainingStep {
  static OptimizerOptions optimizer_options();

  // Every rank draws other data. Throws std::invalid_argument for a model that is unknown or cannot take the
  // sample.
  TrainingStep(const Workload& workload, int rank);

  std::shared_ptr<Model> model;
  std::unique_ptr<Optimizer> optimizer;
  at::Tensor data;    // (B, sample_sizes...)
  at::Tensor target;  // (B)

  // Drops the gradients, and computes the loss of `forward`'s logits.
  at::Tensor loss(const std::function<at::Tensor(const at::Tensor&)>& forward);
  // The same, and goes back.
  void backward(const std::function<at::Tensor(const at::Tensor&)>& forward);
};

}  // namespace lockstep
