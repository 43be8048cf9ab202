#include "trainer/update_options.h"

#include <stdexcept>
#include <string>

#include "trainer/config/lr_schedule_options.h"

namespace lockstep {

LrScheduleOptions lr_schedule_options(const TrainConfig& config, std::int64_t steps_of_run) {
  LrScheduleOptions options;
  options.name = config.lr_schedule;
  const bool has_length = options.name == "linear" || options.name == "cosine" ||
                          options.name == "polynomial" || options.name == "one-cycle";
  if (has_length) {
    options.length =
        config.lr_schedule_length > 0 ? config.lr_schedule_length : steps_of_run - config.warmup_steps;
  }
  options.step_size = config.lr_step_size;
  options.milestones = parse_milestones(config.lr_milestones);
  options.gamma = config.lr_gamma;
  options.min_lr = config.lr_min;
  options.power = config.lr_power;
  options.start_factor = config.lr_start_factor;
  options.end_factor = config.lr_end_factor;
  options.pct_start = config.lr_pct_start;
  options.div_factor = config.lr_div_factor;
  options.final_div_factor = config.lr_final_div_factor;
  options.cycle_momentum = config.cycle_momentum;
  options.warmup_steps = config.warmup_steps;
  options.warmup_start_factor = config.warmup_start_factor;
  return options;
}

LrScheduler make_lr_scheduler(const TrainConfig& config, std::int64_t steps_of_run) {
  const LrScheduleOptions options = lr_schedule_options(config, steps_of_run);
  if (options.name == "one-cycle" && options.length < steps_of_run) {
    throw std::invalid_argument("--lr-schedule-length: one-cycle ends after " +
                                std::to_string(options.length) + " steps, but the run has " +
                                std::to_string(steps_of_run) + "; give at least that");
  }
  return {config.lr, options};
}

OptimizerOptions optimizer_options(const TrainConfig& config) {
  OptimizerOptions options;
  options.lr = config.lr;
  options.momentum = config.momentum;
  options.dampening = config.dampening;
  options.nesterov = config.nesterov;
  options.weight_decay = config.weight_decay;
  options.beta1 = config.adam_beta1;
  options.beta2 = config.adam_beta2;
  options.eps = config.adam_eps;
  options.fused =
      config.fused_optimizer == "on" || (config.fused_optimizer == "auto" && config.device == "cuda");
  return options;
}

OptimizerOptions optimizer_options(const TrainConfig& config, const LrScheduler& schedule) {
  OptimizerOptions options = optimizer_options(config);
  options.lr = schedule.lr();
  if (const auto momentum = schedule.momentum()) options.momentum = options.beta1 = *momentum;
  return options;
}

void apply(const LrScheduler& schedule, Optimizer& optimizer) {
  optimizer.set_lr(schedule.lr());
  if (const auto momentum = schedule.momentum()) optimizer.set_momentum(*momentum);
}

}  // namespace lockstep
