// LaunchMoment: when the launcher of a run started, told to its ranks, which may be on another machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lockstep {

struct LaunchMoment {
  std::string boot;               // of the launcher's machine: its monotonic clock means nothing elsewhere
  std::int64_t monotonic_ns = 0;  // CLOCK_MONOTONIC
  double unix_s = 0.0;

  // Also what tells one launcher from another.
  std::string to_text() const;
};

// This machine's boot, 8 hexadecimal digits; empty where the system does not say.
std::string boot_identity();
// How long the machine has been up, suspended or not.
double boot_seconds();
double unix_seconds();

// For the launcher: its start, by the monotonic clock.
LaunchMoment launch_moment(std::int64_t monotonic_ns);
// As the launcher told it in LOCKSTEP_LAUNCH; none where nobody did, or it cannot be read.
std::optional<LaunchMoment> told_launch_moment();
// Never negative. On another machine than the launcher's by the wall clock.
double seconds_since(const LaunchMoment& moment);

}  // namespace lockstep
