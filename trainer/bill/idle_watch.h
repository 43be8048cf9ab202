// IdleWatch: finds a run that is paid for and does nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "trainer/nvml/nvml.h"

namespace lockstep {

// A run is idle when for a whole window no step has been completed and what it computes on was used under 10
// %. Both are needed: a rank that waits in NCCL keeps its GPU busy, and a long save or evaluation completes
// no step. Not thread-safe.
class IdleWatch {
 public:
  static constexpr double kIdleBelow = 0.10;

  explicit IdleWatch(double window_s) : window_s_(window_s) {}

  // `steps` done so far, `utilization` since the last sample, `now_s` by a monotonic clock. True once for
  // each time that the run is idle.
  bool sample(std::int64_t steps, double utilization, double now_s);

 private:
  double window_s_;
  std::int64_t steps_ = -1;
  double since_s_ = 0.0;  // nothing has been done since then
  bool told_ = false;
};

// The share in use of what this process computes on, since the last reading: of the busiest GPU of the
// machine, or of one core.
class Utilization {
 public:
  // `gpus`: whether the run computes on GPUs; without NVML its CPU is looked at all the same.
  explicit Utilization(bool gpus, double now_s);
  double read(double now_s);

 private:
  std::unique_ptr<Nvml> nvml_;
  double cpu_s_;
  double now_s_;
};

// Does what --idle-action says, "warn", "pause" (a SIGUSR1 to this process) or a command that goes on beside
// it, and tells the user on standard error. Throws std::invalid_argument for a command that cannot be split.
void act_on_idle(const std::string& action, double window_s);
// Throws the same, without doing it.
void check_idle_action(const std::string& action);

}  // namespace lockstep
