// "BOOT:MONOTONIC_NS:UNIX_S".
#include "trainer/cost/launch_moment.h"

#include <time.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string_view>

namespace lockstep {
namespace {

std::int64_t monotonic_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string LaunchMoment::to_text() const {
  return boot + ":" + std::to_string(monotonic_ns) + ":" + std::to_string(unix_s);
}

std::string boot_identity() {
  constexpr std::size_t kDigits = 8;
  std::string text;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> text;
  return text.substr(0, kDigits);
}

double boot_seconds() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

LaunchMoment launch_moment(std::int64_t started_monotonic_ns) {
  const double ago_s = static_cast<double>(monotonic_ns() - started_monotonic_ns) * 1e-9;
  return {boot_identity(), started_monotonic_ns, unix_seconds() - ago_s};
}

std::optional<LaunchMoment> told_launch_moment() {
  const char* told = std::getenv("LOCKSTEP_LAUNCH");
  if (told == nullptr) return std::nullopt;
  const std::string_view text(told);
  const std::size_t first = text.find(':');
  const std::size_t second = first == text.npos ? text.npos : text.find(':', first + 1);
  LaunchMoment moment;
  if (second == text.npos || !read_number(text.substr(first + 1, second - first - 1), moment.monotonic_ns) ||
      !read_number(text.substr(second + 1), moment.unix_s) || !std::isfinite(moment.unix_s))
    return std::nullopt;
  moment.boot = text.substr(0, first);
  return moment;
}

double seconds_since(const LaunchMoment& moment) {
  const bool here = !moment.boot.empty() && moment.boot == boot_identity();
  const double seconds = here ? static_cast<double>(monotonic_ns() - moment.monotonic_ns) * 1e-9
                              : unix_seconds() - moment.unix_s;
  // Ranks meet within a day, or never: more than that is a clock that was set.
  constexpr double kLongest_s = 86400.0;
  return here ? std::max(0.0, seconds) : std::clamp(seconds, 0.0, kLongest_s);
}

}  // namespace lockstep
