// RestartPolicy: whether a job that failed is started again, when, and with how many ranks. Pure arithmetic.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

struct RestartLimits {
  int max_restarts = 0;
  double first_delay_s = 1.0;  // doubles with every failure that brought no progress, up to kLongestDelayS
};
inline constexpr double kLongestRestartDelayS = 60.0;

// How far an attempt came that ended in a failure that may be tried again.
struct FailedAttempt {
  std::int64_t newest_checkpoint = -1;  // its step; -1: there is none
  std::int64_t step = -1;               // that any rank was known to have done; -1: not known
};

struct RestartVerdict {
  bool restart = false;
  double delay_s = 0.0;
  std::string text;  // "restart 2 of 3 in 2 s", or why not
};

// Progress is a newer checkpoint than any attempt had, or a later step. Two attempts running without either
// would be followed by a third.
class RestartPolicy {
 public:
  RestartPolicy(RestartLimits limits, std::int64_t newest_checkpoint);

  // Whether `attempt` came further than all before it.
  bool is_progress(const FailedAttempt& attempt) const;
  // `other_ranks`: the next one has other ranks than this one, so that what failed need not fail again.
  RestartVerdict after(const FailedAttempt& attempt, bool other_ranks = false);

 private:
  const RestartLimits limits_;
  int restarts_ = 0;
  int without_progress_ = 0;  // attempts running
  std::int64_t newest_checkpoint_;
  std::int64_t furthest_step_ = -1;
};

}  // namespace lockstep
