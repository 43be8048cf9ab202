// Where the time of a step with DistributedDataParallel goes, step by step.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bench/report/step_report.h"
#include "comm/reducer.h"
#include "comm/trace_recorder.h"

namespace lockstep {

// Listens to `reducer`, which outlives it. The calls below come in their order, once a step; the moments
// between which they lie are the step's parts.
class StepRecorder {
 public:
  // All gradients together have `gradient_bytes`.
  StepRecorder(Reducer& reducer, std::int64_t gradient_bytes);
  ~StepRecorder();
  StepRecorder(const StepRecorder&) = delete;
  StepRecorder& operator=(const StepRecorder&) = delete;

  void begin_step();
  void end_forward();
  void end_backward();
  void end_step();

  // The step of median length, those nobody timed included; none before the first has ended.
  std::optional<StepTimeline> median() const;

 private:
  std::vector<BucketSpan> take_buckets();

  Reducer& reducer_;
  std::int64_t gradient_bytes_;
  TraceRecorder trace_;
  std::int64_t step_begin_ns_ = 0;
  std::int64_t backward_begin_ns_ = 0;
  std::int64_t backward_end_ns_ = 0;
  std::vector<StepTimeline> steps_;
};

}  // namespace lockstep
