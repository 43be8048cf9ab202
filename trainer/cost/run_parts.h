// RunPart: where an attempt's time went, from its launcher's start to its end. The parts add up to the whole.
#pragma once

#include <array>
#include <cstddef>
#include <mutex>

namespace lockstep {

enum class RunPart : int {
  kStartUp,               // until the first step begins
  kCompute,               // of steps: forward, backward, optimizer and the rest
  kExposedCommunication,  // of steps: waiting for other ranks
  kData,                  // of steps: waiting for data
  kEvaluation,
  kCheckpoint,
  kRework,  // whole steps that an earlier attempt had done already
  kIdle,    // between these: nothing that brings the run forward
};
inline constexpr int kRunPartCount = 8;

// "start_up", "compute", "exposed_communication", ...
const char* run_part_name(RunPart part);

struct RunPartTimes {
  std::array<double, kRunPartCount> seconds = {};

  double& operator[](RunPart part) { return seconds[static_cast<std::size_t>(part)]; }
  double operator[](RunPart part) const { return seconds[static_cast<std::size_t>(part)]; }
  double total_s() const;
  RunPartTimes& operator+=(const RunPartTimes& other);
};

// Shares the attempt's seconds out. `now_s` is the attempt's running time and never goes back. Thread-safe: a
// ledger's thread may read times() at any moment.
class PartMeter {
 public:
  // From now on, until the next call, the time is `part`.
  void enter(RunPart part, double now_s);
  // A step of `step_s` seconds ended now; what lay between it and the last call stays the part that was
  // entered. From now on the time is idle.
  void stepped(double step_s, double exposed_communication_s, double data_s, bool is_rework, double now_s);
  // Adds up to now_s.
  RunPartTimes times(double now_s) const;

 private:
  mutable std::mutex mutex_;
  RunPartTimes times_;
  RunPart current_ = RunPart::kStartUp;
  double mark_s_ = 0.0;  // up to here the time has been shared out
};

}  // namespace lockstep
