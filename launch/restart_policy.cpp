#include "launch/restart_policy.h"

#include <algorithm>
#include <cmath>

#include "trainer/config/option_value.h"

namespace lockstep {
namespace {

constexpr int kMostWithoutProgress = 2;

std::string seconds(double number) {
  const std::string text = to_text(number);
  return (text.ends_with(".0") ? text.substr(0, text.size() - 2) : text) + " s";
}

}  // namespace

RestartPolicy::RestartPolicy(RestartLimits limits, std::int64_t newest_checkpoint)
    : limits_(limits), newest_checkpoint_(newest_checkpoint) {}

bool RestartPolicy::is_progress(const FailedAttempt& attempt) const {
  return attempt.newest_checkpoint > newest_checkpoint_ || attempt.step > furthest_step_;
}

RestartVerdict RestartPolicy::after(const FailedAttempt& attempt, bool other_ranks) {
  const bool progress = is_progress(attempt);
  newest_checkpoint_ = std::max(newest_checkpoint_, attempt.newest_checkpoint);
  furthest_step_ = std::max(furthest_step_, attempt.step);
  without_progress_ = progress || other_ranks ? 0 : without_progress_ + 1;
  RestartVerdict verdict;
  if (limits_.max_restarts == 0) {
    return verdict;
  }
  if (restarts_ >= limits_.max_restarts) {
    verdict.text = "gives up after " + std::to_string(restarts_) + " restart" + (restarts_ == 1 ? "" : "s") +
                   " (--max-restarts)";
    return verdict;
  }
  if (without_progress_ >= kMostWithoutProgress) {
    verdict.text = "gives up: " + std::to_string(without_progress_) +
                   " attempts running came to no later step and no newer checkpoint than those before";
    return verdict;
  }
  ++restarts_;
  verdict.restart = true;
  verdict.delay_s = std::min(kLongestRestartDelayS, limits_.first_delay_s * std::exp2(without_progress_));
  verdict.text = "restart " + std::to_string(restarts_) + " of " + std::to_string(limits_.max_restarts) +
                 " in " + seconds(verdict.delay_s);
  return verdict;
}

}  // namespace lockstep
