// A thread's own time: what it costs itself, which a busy machine does not stretch.
#pragma once

#include <time.h>

namespace lockstep::testing {

inline double thread_time_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

}  // namespace lockstep::testing
