// TraceRecorder: what one rank did when, for a picture of a few steps. Links nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

class DeviceTrace;

struct TraceEvent {
  static constexpr std::int64_t kInstant = -1;
  // Lines of the device's times (comm/device_trace.h), behind those of all buckets.
  static constexpr int kComputeLine = 1'000'000;
  static constexpr int kCommunicationLine = kComputeLine + 1;

  std::string name;
  const char* category = "";  // a literal
  int line = 0;               // 0: the training thread; 1 + b: bucket b
  std::int64_t begin_ns = 0;  // by TraceRecorder::now_ns()
  std::int64_t duration_ns = kInstant;
  std::int64_t bytes = 0;  // 0: has none
};

// Whoever may be traced holds a pointer to one, null where nothing is recorded, which is all that it costs
// then. Thread-safe. On one line, events nest or follow each other.
class TraceRecorder {
 public:
  // CLOCK_MONOTONIC, which all processes of a machine share.
  static std::int64_t now_ns();

  void add(TraceEvent event) {
    const std::scoped_lock lock(mutex_);
    events_.push_back(std::move(event));
  }
  // What was recorded since the last call.
  std::vector<TraceEvent> take() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(events_, {});
  }

  // Where the device's times go, which are not among take()'s; null: none are wanted.
  void set_device(std::shared_ptr<DeviceTrace> device) {
    const std::scoped_lock lock(mutex_);
    device_ = std::move(device);
  }
  std::shared_ptr<DeviceTrace> device() const {
    const std::scoped_lock lock(mutex_);
    return device_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<DeviceTrace> device_;
  std::vector<TraceEvent> events_;
};

// From its construction to its destruction, on the training thread's line; nothing if `recorder` is null.
class TraceSpan {
 public:
  // `category` and `name` are literals.
  TraceSpan(TraceRecorder* recorder, const char* category, const char* name)
      : recorder_(recorder), category_(category), name_(name) {
    if (recorder_ != nullptr) begin_ns_ = TraceRecorder::now_ns();
  }
  ~TraceSpan() {
    if (recorder_ == nullptr) return;
    recorder_->add({.name = name_,
                    .category = category_,
                    .begin_ns = begin_ns_,
                    .duration_ns = TraceRecorder::now_ns() - begin_ns_});
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  TraceRecorder* recorder_;
  const char* category_;
  const char* name_;
  std::int64_t begin_ns_ = 0;
};

}  // namespace lockstep
