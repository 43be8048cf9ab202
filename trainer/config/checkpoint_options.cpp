#include "trainer/config/checkpoint_options.h"

#include <charconv>
#include <limits>
#include <stdexcept>
#include <string_view>

namespace lockstep {
namespace {

constexpr double kMostMinutes = 1e6;  // nearly two years
constexpr int kMostRetries = 20;      // the last wait is then of six days

// The whole of `text` as a number that begins with a digit; nothing otherwise.
template <class Number>
std::optional<Number> whole_number_text(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool starts_well = !text.empty() && text.front() >= '0' && text.front() <= '9';
  if (error != std::errc() || end != text.data() + text.size() || !starts_well) return std::nullopt;
  return number;
}

Rule checkpoint_interval() {
  return {"epoch, auto, a whole number of steps from 1, or minutes such as 10min",
          [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && parse_checkpoint_interval(*text).has_value();
          }};
}

}  // namespace

std::optional<CheckpointInterval> parse_checkpoint_interval(const std::string& text) {
  using Kind = CheckpointInterval::Kind;
  constexpr std::string_view kMinutes = "min";
  if (text == "epoch") return CheckpointInterval{};
  if (text == "auto") return CheckpointInterval{.kind = Kind::kAuto};
  if (text.ends_with(kMinutes)) {
    const auto minutes =
        whole_number_text<double>(std::string_view(text).substr(0, text.size() - kMinutes.size()));
    if (!minutes || !(*minutes > 0.0) || *minutes > kMostMinutes) return std::nullopt;
    return CheckpointInterval{.kind = Kind::kMinutes, .minutes = *minutes};
  }
  const auto steps = whole_number_text<std::int64_t>(text);
  if (!steps || text.front() == '0') return std::nullopt;
  return CheckpointInterval{.kind = Kind::kSteps, .steps = *steps};
}

std::vector<Option<TrainConfig>> checkpoint_option_rows(const std::string& group) {
  using C = TrainConfig;
  return {
      {"checkpoint-interval", group, &C::checkpoint_interval, "WHEN",
       "Save at each epoch's end (epoch), and besides every N optimizer steps (N), every N minutes (Nmin), "
       "or "
       "as often as measured saves and failures make it worth while (auto)",
       checkpoint_interval()},
      {"mean-time-between-failures", group, &C::mean_time_between_failures_h, "HOURS",
       "For --checkpoint-interval auto: hours after which one node fails or is taken away; 0: as the ledger "
       "has seen it, 24 hours where it has seen none",
       number_not_negative()},
      {"checkpoint-retries", group, &C::checkpoint_retries, "N",
       "How often a save that fails is tried again, after 1, 2, 4, ... seconds, before the run stops with "
       "exit code 11",
       integer_between(0, kMostRetries)},
      {"keep-checkpoints", group, &C::keep_checkpoints, "N", "Newest checkpoints to keep",
       integer_between(1, std::numeric_limits<int>::max())},
      {"keep-best", group, &C::keep_best, "",
       "Keep the best epoch's checkpoint as well, by --early-stopping-monitor; checkpoints/best leads to it",
       true_or_false()},
      {"early-stopping-patience", group, &C::early_stopping_patience, "N",
       "Evaluations in a row without improvement after which the run ends; 0: never",
       integer_between(0, kMostInt64)},
      {"early-stopping-min-delta", group, &C::early_stopping_min_delta, "X",
       "What an improvement has to exceed, for --early-stopping-patience", number_not_negative()},
      {"early-stopping-monitor", group, &C::early_stopping_monitor, "NAME",
       "What has to improve: test_loss or test_accuracy", one_of({"test_loss", "test_accuracy"})},
  };
}

void check_checkpoint_options(const TrainConfig& config) {
  if (config.early_stopping_min_delta != 0.0 && config.early_stopping_patience == 0) {
    throw std::invalid_argument(
        "--early-stopping-min-delta needs --early-stopping-patience N, the evaluations to wait for more");
  }
  if (config.early_stopping_monitor != TrainConfig{}.early_stopping_monitor &&
      config.early_stopping_patience == 0 && !config.keep_best) {
    throw std::invalid_argument(
        "--early-stopping-monitor needs --early-stopping-patience N or --keep-best, which go by it");
  }
  if (config.mean_time_between_failures_h != 0.0 && config.checkpoint_interval != "auto") {
    throw std::invalid_argument(
        "--mean-time-between-failures belongs to --checkpoint-interval auto, not to " +
        config.checkpoint_interval + "; leave it out, or choose auto");
  }
}

}  // namespace lockstep
