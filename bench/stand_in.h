// A model that takes its time by sleeping: a recorded step, replayed without the arithmetic.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <chrono>
#include <vector>

#include "bench/scaling/step_model.h"

namespace lockstep {

// Has a parameter for each gradient of `profile`. The gradients are zeros. What is slept until is reckoned
// from the beginning of the pass, so that the work in between (a gradient's memory, its way into a bucket)
// counts as part of the time, as it does where it is computed.
class StandIn : public torch::nn::Module {
 public:
  explicit StandIn(StepProfile profile);

  // Sleeps for the forward pass. Returns what to call backward() on, which is to follow at once.
  at::Tensor forward();
  // The optimizer's time.
  void sleep_as_optimizer() const;
  void zero_grad_to_none();

  // For the graph's nodes.
  at::Tensor gradient_when_ready(std::size_t index) const;
  void sleep_until_end() const;

 private:
  using Clock = std::chrono::steady_clock;

  StepProfile profile_;
  std::vector<at::Tensor> gradient_order_;  // the parameters, as their gradients come
  Clock::time_point backward_begin_;
};

}  // namespace lockstep
