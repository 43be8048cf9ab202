#include "launch/rank_watch.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "launch/outcome.h"

namespace lockstep {
namespace {

constexpr auto kAfterTheOthers = std::chrono::seconds(2);

std::string seconds(double number) {
  std::string text = std::to_string(number);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text + " s";
}

}  // namespace

RankWatch::RankWatch(std::chrono::milliseconds limit, bool others)
    : limit_(limit.count() > 0 && others ? limit + kAfterTheOthers : limit),
      limit_s_(std::chrono::duration<double>(limit).count()) {}

void RankWatch::stopped(int signal, Clock::time_point now) {
  stop_signal_ = signal;
  still_since_ = now;
}

void RankWatch::continued(Clock::time_point now) {
  stop_signal_ = 0;
  still_since_ = now;
}

std::string RankWatch::stop_text() const {
  return "was stopped by " + describe_signal(stop_signal_);
}

std::optional<std::string> RankWatch::verdict(const Heartbeat& heartbeat, Clock::time_point now) {
  const bool judged = heartbeat.phase == RankPhase::kTraining || heartbeat.phase == RankPhase::kEvaluating;
  if (!is_stopped() && (!judged || heartbeat.beats != beats_)) {
    beats_ = heartbeat.beats;
    still_since_ = now;
  }
  if (limit_.count() == 0 || now - still_since_ < limit_) {
    return std::nullopt;
  }
  return is_stopped() ? stop_text() + " and did not go on within " + seconds(limit_s_)
                      : "fell silent: not a step within " + seconds(limit_s_) + " (--timeout)";
}

std::optional<std::chrono::milliseconds> RankWatch::interval() const {
  constexpr std::chrono::milliseconds kLongest{1000};
  if (limit_.count() == 0) {
    return std::nullopt;
  }
  return std::clamp(limit_ / 8, std::chrono::milliseconds(20), kLongest);
}

std::chrono::milliseconds timeout_from_environment() {
  const char* text = std::getenv("LOCKSTEP_TIMEOUT_S");
  constexpr double kMsPerS = 1000.0;
  constexpr double kLongestS = 1e6;
  const double seconds = text == nullptr ? 0.0 : std::strtod(text, nullptr);
  return std::chrono::milliseconds(
      static_cast<std::int64_t>(seconds > 0.0 ? std::min(seconds, kLongestS) * kMsPerS : 0.0));
}

}  // namespace lockstep
