// Learning-rate schedules with the bits of torch.optim.lr_scheduler.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

// What PyTorch's classes are given. Counts are of scheduler.step(), which may mean optimizer steps or epochs.
struct LrScheduleOptions {
  // constant, step, multi-step, exponential, linear, cosine, polynomial or one-cycle
  std::string name = "constant";
  std::int64_t length = 0;     // T_max, total_iters, total_steps: linear, cosine, polynomial, one-cycle
  std::int64_t step_size = 0;  // step
  std::vector<std::int64_t> milestones = {};  // multi-step, ascending
  double gamma = 0.1;                         // step, multi-step, exponential
  double min_lr = 0.0;                        // cosine: eta_min
  double power = 1.0;                         // polynomial
  double start_factor = 1.0;                  // linear
  double end_factor = 0.0;                    // linear
  double pct_start = 0.3;                     // one-cycle, and the next three
  double div_factor = 25.0;
  double final_div_factor = 1e4;
  bool cycle_momentum = true;
  std::int64_t warmup_steps = 0;  // LinearLR before the schedule, joined by SequentialLR; 0: none
  double warmup_start_factor = 1.0 / 3;
};

// Between which one-cycle moves momentum: PyTorch's defaults.
inline constexpr double kOneCycleMaxMomentum = 0.95;
inline constexpr double kOneCycleBaseMomentum = 0.85;

// One class of PyTorch's.
class LrSchedule {
 public:
  virtual ~LrSchedule() = default;
  // get_lr(): the learning rate for `epoch` (PyTorch's last_epoch, from 0) after `lr`, the one for the epoch
  // before, or the base one for epoch 0. Most are recursions, whose rounding no closed form has.
  virtual double next(std::int64_t epoch, double lr) const = 0;
  // Where SequentialLR begins it: _get_closed_form_lr() at epoch 0.
  virtual double restarted(double base_lr) const { return base_lr; }
  // Momentum, or Adam's beta1, for `epoch`; none where the schedule leaves it alone.
  virtual std::optional<double> momentum(std::int64_t /*epoch*/) const { return std::nullopt; }
};

// The schedule of a run: a warm-up, if there is one, and what follows it.
class LrScheduler {
 public:
  // As after the scheduler's constructor in Python. Throws std::invalid_argument for what cannot be.
  LrScheduler(double base_lr, const LrScheduleOptions& options);

  // scheduler.step(). Throws std::invalid_argument beyond the end of a one-cycle.
  void step();
  std::int64_t steps() const { return steps_; }
  // For the next optimizer step.
  double lr() const { return lr_; }
  std::optional<double> momentum() const { return schedule_->momentum(steps_); }
  // Goes on where steps() and lr() were these.
  void resume(std::int64_t steps, double lr);
  bool changes() const { return options_.name != "constant" || warm_up_ != nullptr; }
  // All that decides the learning rates to come, or "constant", whose rate may be changed on the way. Only
  // what differs from LrScheduleOptions' defaults is in it.
  std::string description() const;

 private:
  double base_lr_;
  LrScheduleOptions options_;
  std::unique_ptr<LrSchedule> warm_up_;  // null: none
  bool joined_;                          // by SequentialLR: a constant schedule is the warm-up alone
  std::unique_ptr<LrSchedule> schedule_;
  std::int64_t steps_ = 0;
  double lr_;
};

}  // namespace lockstep
