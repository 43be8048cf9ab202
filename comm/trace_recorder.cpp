#include "comm/trace_recorder.h"

#include <ctime>

namespace lockstep {

// Not std::chrono, which does not promise which clock it reads.
std::int64_t TraceRecorder::now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

}  // namespace lockstep
