// StepTracer: records a few steps on every rank and leaves RUN_DIR/trace.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/device_trace.h"
#include "comm/trace_recorder.h"
#include "trainer/metrics/step_timer.h"

namespace lockstep {

struct StepTracerOptions {
  std::int64_t first_step = 1;  // steps count from 1
  std::int64_t steps = 1;
  std::filesystem::path file = {};  // rank 0's
  // Rank 0's way to tell: where the trace is, and that it could not be written. Null elsewhere.
  std::function<void(const std::string&)> say = {};
  std::function<void(const std::string&)> warn = {};
  // Of the device that trains, where the host runs ahead of it; null: the host's times are all there is.
  RecordMoment device_moments = {};
  CommunicatorPtr group = {};  // one more, whose collectives on the device are traced
};

// Steps to leave out until caches, buckets and the allocator are warm: five, or as many as still leave
// `steps` of the `remaining` ones.
std::int64_t trace_warm_up(std::int64_t remaining, std::int64_t steps);

// Every rank makes one with the same steps. Around each step, begin_step() and end_step(); the end of the
// last traced step is a collective, in which rank 0 gathers and writes. In a trace that cannot be written
// training goes on. Outside the traced steps nothing is recorded and recorder() is null.
//
// With a device the host waits for it before the first traced step and after the last, not in between. A part
// takes on the device what lies between the moments at which the current stream comes to its begin and to its
// end.
class StepTracer {
 public:
  // `timer` outlives it, and tells it the parts of each step.
  StepTracer(StepTracerOptions options, CommunicatorPtr communicator, StepTimer& timer);

  void begin_step(std::int64_t step);
  void end_step();
  // A run that ends earlier writes what there is; a collective if anything was recorded.
  void finish();

  // For the reducer, and for spans between steps.
  TraceRecorder* recorder() { return recording_ ? &recorder_ : nullptr; }

 private:
  void start();
  void set_device(std::shared_ptr<DeviceTrace> device);
  void end_part(StepPart part, std::int64_t begin_ns, std::int64_t end_ns);
  std::int64_t take_device_events(std::vector<TraceEvent>& events);
  void write();

  StepTracerOptions options_;
  CommunicatorPtr communicator_;
  StepTimer& timer_;
  TraceRecorder recorder_;
  bool recording_ = false;
  std::int64_t step_ = 0;
  std::int64_t step_begin_ns_ = 0;
  std::shared_ptr<DeviceTrace> device_;  // while recording; null without a device
  DeviceMomentPtr device_step_begin_;
  DeviceMomentPtr device_part_begin_;
};

}  // namespace lockstep
