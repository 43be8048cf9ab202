// What torch.optim's and torch.optim.lr_scheduler's load_state_dict() take.
#pragma once

#include <ATen/core/ivalue.h>

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/exchange/python_checkpoint.h"
#include "trainer/optim/lr_schedule.h"
#include "trainer/optim/optimizer.h"

namespace lockstep {

// {"state": {0: {...}, ...}, "param_groups": [{..., "params": [0, 1, ...]}]} of optimizer `name`. With
// `schedule` the group also holds what a scheduler of Python keeps there.
c10::IValue python_optimizer_state(const std::string& name, const OptimizerOptions& options,
                                   const std::vector<OptimizerStateEntry>& entries,
                                   std::int64_t num_parameters, double base_lr,
                                   const LrScheduleOptions& schedule);

// Of the scheduler that LrScheduler is in Python (docs/checkpoints.md), after `steps` steps.
c10::IValue python_scheduler_state(const LrScheduleOptions& schedule, std::int64_t steps, double lr);

// A line for each option in which `saved` is not `options`, the learning rate excepted; what a schedule moves
// is left out.
std::vector<std::string> differences(const ParamGroup& saved, const std::string& name,
                                     const OptimizerOptions& options, bool momentum_moves);

}  // namespace lockstep
