// Who takes part in `lockstep bench step`.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/config/step_config.h"
#include "bench/report/step_report.h"
#include "bench/training_step.h"
#include "bench/world.h"

namespace lockstep {

class PytorchTwin;

// All ranks have the same contenders in the same order. Each has a model and an optimizer of its own.
class StepContender {
 public:
  virtual ~StepContender() = default;
  virtual std::string name() const = 0;
  // `settle_steps` training steps that nobody times, then `steps` that are timed. Returns the seconds of this
  // rank: one number for all of them, or one for each step where the ranks met before each. Collective.
  virtual std::vector<double> take_turn(int settle_steps, int steps) = 0;
  // Where a step's time went on this rank, for those who can tell.
  virtual std::optional<StepTimeline> timeline() const { return std::nullopt; }
};

// Those of `config`, with the model and the batch of `workload`: ours, c10d, and PyTorch's two, whose `twin`
// is null where they do not take part. Collective. Throws std::invalid_argument for what cannot take part
// here.
std::vector<std::unique_ptr<StepContender>> make_step_contenders(const StepConfig& config,
                                                                 const Workload& workload,
                                                                 const BenchWorld& world, PytorchTwin* twin);

// Where `config` has the steps of this rank computed.
StepPlace place_of(const StepConfig& config, const BenchWorld& world);

// "mlp-512: mlp 1x28x28-512-512-10, batch 64, 669,706 parameters".
std::string describe(const Workload& workload);

}  // namespace lockstep
