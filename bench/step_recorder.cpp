#include "bench/step_recorder.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace lockstep {
namespace {

double seconds_between(std::int64_t begin_ns, std::int64_t end_ns) {
  return static_cast<double>(end_ns - begin_ns) * 1e-9;
}

}  // namespace

StepRecorder::StepRecorder(Reducer& reducer, std::int64_t gradient_bytes)
    : reducer_(reducer), gradient_bytes_(gradient_bytes) {
  reducer_.set_trace(&trace_);
}

StepRecorder::~StepRecorder() {
  reducer_.set_trace(nullptr);
}

void StepRecorder::begin_step() {
  trace_.take();
  step_begin_ns_ = TraceRecorder::now_ns();
}

void StepRecorder::end_forward() {
  backward_begin_ns_ = TraceRecorder::now_ns();
}

void StepRecorder::end_backward() {
  backward_end_ns_ = TraceRecorder::now_ns();
}

void StepRecorder::end_step() {
  StepTimeline step;
  step.forward_s = seconds_between(step_begin_ns_, backward_begin_ns_);
  step.exposed_s = reducer_.times().exposed_wait_s;
  step.backward_s = seconds_between(backward_begin_ns_, backward_end_ns_) - step.exposed_s;
  step.optimizer_s = seconds_between(backward_end_ns_, TraceRecorder::now_ns());
  step.buckets = take_buckets();
  steps_.push_back(std::move(step));
}

std::optional<StepTimeline> StepRecorder::median() const {
  if (steps_.empty()) return std::nullopt;
  std::vector<StepTimeline> sorted = steps_;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::nth_element(sorted.begin(), middle, sorted.end(),
                   [](const StepTimeline& a, const StepTimeline& b) { return a.step_s() < b.step_s(); });
  return *middle;
}

// The reducer's events (comm/reducer_state.cpp): a bucket's "ready" and "reduction" on its own line, or, in
// shared memory, one span on the training thread's.
std::vector<BucketSpan> StepRecorder::take_buckets() {
  std::map<int, BucketSpan> buckets;
  std::vector<BucketSpan> in_memory;
  const auto since_backward = [&](std::int64_t ns) { return seconds_between(backward_begin_ns_, ns); };
  for (const TraceEvent& event : trace_.take()) {
    const double begin_s = since_backward(event.begin_ns);
    const double end_s = since_backward(event.begin_ns + event.duration_ns);
    if (event.name == "ready") {
      buckets[event.line].ready_s = begin_s;
    } else if (event.name == "reduction") {
      BucketSpan& bucket = buckets[event.line];
      bucket.bytes = event.bytes;
      bucket.begin_s = begin_s;
      bucket.end_s = end_s;
    } else if (event.name == "average in shared memory") {
      in_memory.push_back({gradient_bytes_, begin_s, begin_s, end_s});
    }
  }
  if (!in_memory.empty()) return in_memory;
  std::vector<BucketSpan> list;
  for (const auto& [line, bucket] : buckets) {
    if (bucket.bytes > 0) list.push_back(bucket);
  }
  return list;
}

}  // namespace lockstep
