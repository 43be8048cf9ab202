#include "trainer/config/lr_schedule_options.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr const char* kSchedule = "Learning-rate schedule";

const std::vector<std::string> kSchedules = {"constant", "step",   "multi-step", "exponential",
                                             "linear",   "cosine", "polynomial", "one-cycle"};

// Which schedules an option belongs to; those that are not here belong to all but constant.
struct Use {
  const char* option;
  std::vector<std::string> schedules;
};
const std::vector<Use>& uses() {
  static const std::vector<Use> table = {
      {"lr-schedule-length", {"linear", "cosine", "polynomial", "one-cycle"}},
      {"lr-step-size", {"step"}},
      {"lr-milestones", {"multi-step"}},
      {"lr-gamma", {"step", "multi-step", "exponential"}},
      {"lr-min", {"cosine"}},
      {"lr-power", {"polynomial"}},
      {"lr-start-factor", {"linear"}},
      {"lr-end-factor", {"linear"}},
      {"lr-pct-start", {"one-cycle"}},
      {"lr-div-factor", {"one-cycle"}},
      {"lr-final-div-factor", {"one-cycle"}},
      {"cycle-momentum", {"one-cycle"}},
  };
  return table;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

Rule milestones() {
  return {"ascending whole numbers from 1, such as 30,60,80", [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && (text->empty() || !parse_milestones(*text).empty());
          }};
}

Rule above_zero_to_one() {
  return {"a number above 0, at most 1", number_above_zero(1).accepts};
}

}  // namespace

std::vector<std::int64_t> parse_milestones(const std::string& text) {
  std::vector<std::int64_t> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    std::int64_t number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc() || number < 1 || (!numbers.empty() && number <= numbers.back())) return {};
    numbers.push_back(number);
    if (next == end) return numbers;
    if (*next != ',') return {};
    at = next + 1;
  }
}

std::vector<Option<TrainConfig>> lr_schedule_option_rows() {
  using C = TrainConfig;
  const Rule from_zero = integer_between(0, kMostInt64);
  return {
      {"lr-schedule", kSchedule, &C::lr_schedule, "NAME",
       "How --lr changes, with the bits of torch.optim.lr_scheduler: " + listed(kSchedules),
       one_of(kSchedules)},
      {"lr-interval", kSchedule, &C::lr_interval, "NAME",
       "What the schedule and its warm-up count: step (optimizer steps) or epoch", one_of({"step", "epoch"})},
      {"lr-schedule-length", kSchedule, &C::lr_schedule_length, "N",
       "Steps of linear, cosine, polynomial and one-cycle, warm-up not included", from_zero,
       "0: to the run's end"},
      {"lr-step-size", kSchedule, &C::lr_step_size, "N", "Steps between two decays of step", from_zero},
      {"lr-milestones", kSchedule, &C::lr_milestones, "N,N,...", "Steps at which multi-step decays",
       milestones()},
      {"lr-gamma", kSchedule, &C::lr_gamma, "X",
       "What step, multi-step and exponential multiply the learning rate with",
       number_above_zero(kUnbounded)},
      {"lr-min", kSchedule, &C::lr_min, "X", "Where cosine ends", number_not_negative()},
      {"lr-power", kSchedule, &C::lr_power, "X", "Power of polynomial", number_not_negative()},
      {"lr-start-factor", kSchedule, &C::lr_start_factor, "X", "Part of --lr with which linear begins",
       above_zero_to_one()},
      {"lr-end-factor", kSchedule, &C::lr_end_factor, "X", "Part of --lr with which linear ends",
       number_from_zero_to_one()},
      {"lr-pct-start", kSchedule, &C::lr_pct_start, "X", "Part of one-cycle in which the learning rate rises",
       number_from_zero_below_one()},
      {"lr-div-factor", kSchedule, &C::lr_div_factor, "X", "one-cycle begins with --lr divided by this",
       number_above_zero(kUnbounded)},
      {"lr-final-div-factor", kSchedule, &C::lr_final_div_factor, "X",
       "one-cycle ends with its beginning divided by this", number_above_zero(kUnbounded)},
      {"cycle-momentum", kSchedule, &C::cycle_momentum, "",
       "one-cycle moves momentum (of adam: beta1) from 0.95 to 0.85 and back", true_or_false()},
      {"warmup-steps", kSchedule, &C::warmup_steps, "N",
       "Steps of the schedule in which the learning rate first rises to --lr; 0: none", from_zero},
      {"warmup-start-factor", kSchedule, &C::warmup_start_factor, "X",
       "Part of --lr with which the warm-up begins", above_zero_to_one()},
  };
}

void check_lr_schedule(const TrainConfig& config) {
  const std::string schedule = "--lr-schedule " + config.lr_schedule;
  static const std::vector<Option<TrainConfig>> options = lr_schedule_option_rows();
  for (const Use& use : uses()) {
    const bool used =
        std::find(use.schedules.begin(), use.schedules.end(), config.lr_schedule) != use.schedules.end();
    const auto* option = find_option(options, use.option);
    if (!used && option->get(config) != option->get(TrainConfig{})) {
      throw std::invalid_argument(std::string("--") + use.option + " belongs to --lr-schedule " +
                                  listed(use.schedules) + ", not to " + config.lr_schedule +
                                  "; leave it out, or choose one of these");
    }
  }
  if (config.lr_schedule == "step" && config.lr_step_size == 0)
    throw std::invalid_argument(schedule + " needs --lr-step-size N, the steps between two decays");
  if (config.lr_schedule == "multi-step" && config.lr_milestones.empty())
    throw std::invalid_argument(schedule + " needs --lr-milestones N,N,..., the steps at which it decays");
  if (config.lr_schedule == "one-cycle" && config.warmup_steps > 0)
    throw std::invalid_argument(schedule + " with --warmup-steps: it warms up by itself (--lr-pct-start)");
  if (config.warmup_steps == 0 && config.warmup_start_factor != TrainConfig{}.warmup_start_factor)
    throw std::invalid_argument("--warmup-start-factor needs --warmup-steps N, the length of the warm-up");
}

}  // namespace lockstep
