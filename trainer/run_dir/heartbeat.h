// Heartbeat: what a rank's process shows to the process beside it (launch/rank_command.h): that it goes on,
// and where it is. A few words of shared memory, so that showing it costs a step nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace lockstep {

enum class RankPhase : std::int32_t { kStarting, kTraining, kEvaluating, kSaving, kEnding };

struct Heartbeat {
  std::int64_t beats = 0;  // so far
  std::int64_t step = 0;   // optimizer steps done
  RankPhase phase = RankPhase::kStarting;
};

// "in step 13", "in the evaluation after step 12", "in the save after step 12", "at the start".
std::string describe(const Heartbeat& heartbeat);

// Both ends of it. One process beats, from one thread at a time; any number read.
class HeartbeatPage {
 public:
  // A page of its own, whose descriptor() a child inherits. Throws std::system_error.
  static HeartbeatPage create();
  // The one whose descriptor the environment names (kVariable); one that nobody reads where there is none.
  static HeartbeatPage from_environment();
  static constexpr const char* kVariable = "LOCKSTEP_HEARTBEAT_FD";

  int descriptor() const;
  // Some nanoseconds; never fails.
  void beat(RankPhase phase, std::int64_t step) noexcept;
  Heartbeat read() const noexcept;

 private:
  struct Mapping;
  explicit HeartbeatPage(std::shared_ptr<Mapping> mapping);
  std::shared_ptr<Mapping> mapping_;
};

}  // namespace lockstep
