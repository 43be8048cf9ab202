// DeviceTrace: what a device did when. The host, whose times a TraceRecorder has, runs ahead of a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/device_moment.h"
#include "comm/trace_recorder.h"

namespace lockstep {

// Both clocks are read when it is made and again by take(), and the device's times are laid between the two
// readings, so that clocks which drift apart do no harm. Thread-safe, and usable with any lock held: only the
// constructor and take() wait for the device.
class DeviceTrace {
 public:
  using Clock = std::int64_t (*)();

  // Blocks the host until the device has done what the current stream has queued.
  explicit DeviceTrace(RecordMoment record, Clock now_ns = TraceRecorder::now_ns);

  DeviceMomentPtr mark() const { return record_(); }
  // `event`, which has no times yet, lasts from `begin` to where the current stream has come now. Returns
  // that end.
  DeviceMomentPtr add(TraceEvent event, DeviceMomentPtr begin);

  struct Times {
    std::vector<TraceEvent> events;
    std::int64_t uncertainty_ns = 0;  // of each time, against the host's clock
  };
  // What was added since the last call, by the host's clock. Blocks the host until the device has done what
  // the current stream has queued, and has come to the last end.
  Times take();

  // What a collective that is queued now is called: "all_reduce of bucket 3" while there is a TracedBucket.
  std::string title(const char* collective) const;

 private:
  friend class TracedBucket;
  struct Reading {
    DeviceMomentPtr moment;
    std::int64_t host_ns = 0;
    std::int64_t uncertainty_ns = 0;
  };
  struct Span {
    TraceEvent event;
    DeviceMomentPtr begin;
    DeviceMomentPtr end;
  };

  Reading read_clocks() const;
  void set_bucket(std::optional<std::size_t> bucket);

  const RecordMoment record_;
  const Clock now_ns_;
  const Reading first_;
  mutable std::mutex mutex_;
  std::vector<Span> spans_;
  std::optional<std::size_t> bucket_;
};

// While there is one, the collectives that are queued are those of the reducer's bucket. Nothing if
// `recorder` is null, or has no device.
class TracedBucket {
 public:
  TracedBucket(const TraceRecorder* recorder, std::size_t bucket)
      : device_(recorder != nullptr ? recorder->device() : nullptr) {
    if (device_) device_->set_bucket(bucket);
  }
  ~TracedBucket() {
    if (device_) device_->set_bucket(std::nullopt);
  }
  TracedBucket(const TracedBucket&) = delete;
  TracedBucket& operator=(const TracedBucket&) = delete;

 private:
  std::shared_ptr<DeviceTrace> device_;
};

}  // namespace lockstep
