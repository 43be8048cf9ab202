// torch/optim/lr_scheduler.py: each class's get_lr(), with its operations in its order on doubles.
#include "trainer/optim/lr_schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <type_traits>

#include "trainer/config/option_value.h"

namespace lockstep {
namespace {

constexpr double kPi = std::numbers::pi;

double number(std::int64_t count) {
  return static_cast<double>(count);
}

class Constant final : public LrSchedule {
 public:
  explicit Constant(const LrScheduleOptions& /*options*/) {}
  double next(std::int64_t /*epoch*/, double lr) const override { return lr; }
};

class Step final : public LrSchedule {
 public:
  explicit Step(const LrScheduleOptions& options) : size_(options.step_size), gamma_(options.gamma) {
    if (size_ < 1) throw std::invalid_argument("schedule step needs a step size of at least 1");
  }
  double next(std::int64_t epoch, double lr) const override {
    return epoch == 0 || epoch % size_ != 0 ? lr : lr * gamma_;
  }

 private:
  std::int64_t size_;
  double gamma_;
};

class MultiStep final : public LrSchedule {
 public:
  explicit MultiStep(const LrScheduleOptions& options)
      : milestones_(options.milestones), gamma_(options.gamma) {
    if (milestones_.empty()) throw std::invalid_argument("schedule multi-step needs milestones");
  }
  double next(std::int64_t epoch, double lr) const override {
    return std::find(milestones_.begin(), milestones_.end(), epoch) == milestones_.end() ? lr : lr * gamma_;
  }

 private:
  std::vector<std::int64_t> milestones_;
  double gamma_;
};

class Exponential final : public LrSchedule {
 public:
  explicit Exponential(const LrScheduleOptions& options) : gamma_(options.gamma) {}
  double next(std::int64_t epoch, double lr) const override { return epoch == 0 ? lr : lr * gamma_; }

 private:
  double gamma_;
};

class Linear final : public LrSchedule {
 public:
  Linear(double start_factor, double end_factor, std::int64_t length)
      : start_(start_factor), end_(end_factor), length_(length) {}
  explicit Linear(const LrScheduleOptions& options)
      : Linear(options.start_factor, options.end_factor, options.length) {}
  double next(std::int64_t epoch, double lr) const override {
    if (epoch == 0) return lr * start_;
    if (epoch > length_) return lr;
    return lr * (1.0 + (end_ - start_) / (number(length_) * start_ + number(epoch - 1) * (end_ - start_)));
  }
  double restarted(double base_lr) const override {
    return base_lr * (start_ + (end_ - start_) * 0.0 / number(length_));
  }

 private:
  double start_, end_;
  std::int64_t length_;
};

class Cosine final : public LrSchedule {
 public:
  Cosine(const LrScheduleOptions& options, double base_lr)
      : base_lr_(base_lr), length_(options.length), min_lr_(options.min_lr) {}
  double next(std::int64_t epoch, double lr) const override {
    if (epoch == 0) return lr;
    if ((epoch - 1 - length_) % (2 * length_) == 0)
      return lr + (base_lr_ - min_lr_) * (1 - std::cos(kPi / number(length_))) / 2;
    return (1 + std::cos(kPi * number(epoch) / number(length_))) /
               (1 + std::cos(kPi * number(epoch - 1) / number(length_))) * (lr - min_lr_) +
           min_lr_;
  }
  double restarted(double base_lr) const override {
    return min_lr_ + (base_lr - min_lr_) * (1 + std::cos(0.0)) / 2;
  }

 private:
  double base_lr_;
  std::int64_t length_;
  double min_lr_;
};

class Polynomial final : public LrSchedule {
 public:
  explicit Polynomial(const LrScheduleOptions& options) : length_(options.length), power_(options.power) {}
  double next(std::int64_t epoch, double lr) const override {
    if (epoch == 0 || epoch > length_) return lr;
    return lr *
           std::pow((1.0 - number(epoch) / number(length_)) / (1.0 - number(epoch - 1) / number(length_)),
                    power_);
  }

 private:
  std::int64_t length_;
  double power_;
};

// Two phases, annealed by cosines; momentum goes the other way.
class OneCycle final : public LrSchedule {
 public:
  OneCycle(const LrScheduleOptions& options, double max_lr)
      : first_end_(options.pct_start * number(options.length) - 1),
        length_(options.length),
        max_lr_(max_lr),
        initial_lr_(max_lr / options.div_factor),
        min_lr_(initial_lr_ / options.final_div_factor),
        cycle_momentum_(options.cycle_momentum) {
    if (first_end_ == 0.0 || first_end_ == number(length_ - 1)) {
      throw std::invalid_argument("schedule one-cycle: " + std::to_string(options.pct_start) + " of " +
                                  std::to_string(length_) +
                                  " steps leaves a phase without length; choose another --lr-pct-start");
    }
  }
  double next(std::int64_t epoch, double /*lr*/) const override {
    if (epoch > length_) {
      throw std::invalid_argument("schedule one-cycle ends after " + std::to_string(length_) +
                                  " steps; give it as many as the run has");
    }
    return rises(epoch) ? anneal(initial_lr_, max_lr_, epoch) : anneal(max_lr_, min_lr_, epoch);
  }
  std::optional<double> momentum(std::int64_t epoch) const override {
    if (!cycle_momentum_) return std::nullopt;
    return rises(epoch) ? anneal(kOneCycleMaxMomentum, kOneCycleBaseMomentum, epoch)
                        : anneal(kOneCycleBaseMomentum, kOneCycleMaxMomentum, epoch);
  }

 private:
  bool rises(std::int64_t epoch) const { return number(epoch) <= first_end_; }
  double anneal(double start, double end, std::int64_t epoch) const {
    const double begin_step = rises(epoch) ? 0.0 : first_end_;
    const double end_step = rises(epoch) ? first_end_ : number(length_ - 1);
    const double pct = (number(epoch) - begin_step) / (end_step - begin_step);
    const double cos_out = std::cos(kPi * pct) + 1;
    return end + (start - end) / 2.0 * cos_out;
  }

  double first_end_;
  std::int64_t length_;
  double max_lr_, initial_lr_, min_lr_;
  bool cycle_momentum_;
};

template <class Schedule>
std::unique_ptr<LrSchedule> make(const LrScheduleOptions& options, double base_lr) {
  if constexpr (std::is_constructible_v<Schedule, const LrScheduleOptions&, double>) {
    return std::make_unique<Schedule>(options, base_lr);
  } else {
    return std::make_unique<Schedule>(options);
  }
}

struct ScheduleKind {
  const char* name;
  bool has_length;
  std::unique_ptr<LrSchedule> (*make)(const LrScheduleOptions& options, double base_lr);
};

constexpr std::array kSchedules{
    ScheduleKind{"constant", false, make<Constant>},    ScheduleKind{"step", false, make<Step>},
    ScheduleKind{"multi-step", false, make<MultiStep>}, ScheduleKind{"exponential", false, make<Exponential>},
    ScheduleKind{"linear", true, make<Linear>},         ScheduleKind{"cosine", true, make<Cosine>},
    ScheduleKind{"polynomial", true, make<Polynomial>}, ScheduleKind{"one-cycle", true, make<OneCycle>},
};

std::unique_ptr<LrSchedule> make_schedule(const LrScheduleOptions& options, double base_lr) {
  for (const ScheduleKind& entry : kSchedules) {
    if (options.name != entry.name) continue;
    if (entry.has_length && options.length < 1) {
      throw std::invalid_argument(
          "schedule " + options.name + " has " + std::to_string(options.length) +
          " steps; it needs at least 1 behind the warm-up: give --lr-schedule-length, "
          "or fewer --warmup-steps");
    }
    return entry.make(options, base_lr);
  }
  throw std::invalid_argument("unknown learning-rate schedule '" + options.name + "'");
}

}  // namespace

LrScheduler::LrScheduler(double base_lr, const LrScheduleOptions& options)
    : base_lr_(base_lr),
      options_(options),
      joined_(options.warmup_steps > 0 && options.name != "constant"),
      schedule_(make_schedule(options, base_lr)) {
  if (joined_ && options.name == "one-cycle")
    throw std::invalid_argument("schedule one-cycle warms up by itself");
  if (options.warmup_steps > 0)
    warm_up_ = std::make_unique<Linear>(options.warmup_start_factor, 1.0, options.warmup_steps);
  lr_ = (warm_up_ ? *warm_up_ : *schedule_).next(0, base_lr_);
}

void LrScheduler::step() {
  ++steps_;
  if (warm_up_ && (!joined_ || steps_ < options_.warmup_steps)) {
    lr_ = warm_up_->next(steps_, lr_);
  } else if (warm_up_ && steps_ == options_.warmup_steps) {
    lr_ = schedule_->restarted(base_lr_);
  } else {
    lr_ = schedule_->next(steps_ - options_.warmup_steps, lr_);
  }
}

std::string LrScheduler::description() const {
  if (!changes()) return options_.name;
  const LrScheduleOptions usual;
  std::string text = options_.name + " from " + to_text(base_lr_);
  const auto add = [&](const char* name, const auto& value, const auto& usual_value) {
    if (value != usual_value) text += std::string(", ") + name + " " + to_text(value);
  };
  add("warm-up", options_.warmup_steps, usual.warmup_steps);
  add("begun at", options_.warmup_start_factor, usual.warmup_start_factor);
  add("length", options_.length, usual.length);
  add("step size", options_.step_size, usual.step_size);
  for (const std::int64_t milestone : options_.milestones) text += ", milestone " + to_text(milestone);
  add("gamma", options_.gamma, usual.gamma);
  add("minimum", options_.min_lr, usual.min_lr);
  add("power", options_.power, usual.power);
  add("start factor", options_.start_factor, usual.start_factor);
  add("end factor", options_.end_factor, usual.end_factor);
  add("rising part", options_.pct_start, usual.pct_start);
  add("divided by", options_.div_factor, usual.div_factor);
  add("finally divided by", options_.final_div_factor, usual.final_div_factor);
  add("cycling momentum", options_.cycle_momentum, usual.cycle_momentum);
  return text;
}

void LrScheduler::resume(std::int64_t steps, double lr) {
  steps_ = steps;
  lr_ = lr;
}

}  // namespace lockstep
