// PyTorch's own c10d::Reducer over Gloo, driven from C++: what torch.nn.parallel.DistributedDataParallel does
// in a step, without Python.
#pragma once

#include <memory>

#include "bench/config/step_config.h"
#include "bench/training_step.h"
#include "bench/world.h"

namespace lockstep {

class C10dStep {
 public:
  // Collective. `compress`: with PyTorch's built-in fp16 hook.
  C10dStep(const Workload& workload, const BenchWorld& world, const StepPlace& place, bool compress);
  ~C10dStep();
  C10dStep(const C10dStep&) = delete;
  C10dStep& operator=(const C10dStep&) = delete;

  // Forward, backward with averaged gradients, update. Collective.
  void step();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lockstep
