// From a run's options to those of its optimizer and its learning-rate schedule.
#pragma once

#include <cstdint>

#include "trainer/config/train_config.h"
#include "trainer/optim/lr_schedule.h"
#include "trainer/optim/optimizer.h"

namespace lockstep {

LrScheduleOptions lr_schedule_options(const TrainConfig& config, std::int64_t steps_of_run);

// `steps_of_run`: optimizer steps or epochs, whatever --lr-interval says. Throws std::invalid_argument where
// the schedule cannot have that many.
LrScheduler make_lr_scheduler(const TrainConfig& config, std::int64_t steps_of_run);

OptimizerOptions optimizer_options(const TrainConfig& config);
// For an optimizer that begins where `schedule` stands.
OptimizerOptions optimizer_options(const TrainConfig& config, const LrScheduler& schedule);

// What `schedule` says about the next step.
void apply(const LrScheduler& schedule, Optimizer& optimizer);

}  // namespace lockstep
