// A device for tests without a GPU: two streams whose work takes as long as the test says, a clock that
// drifts from the host's, and a communicator that works on the second stream.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>

#include "comm/device_moment.h"
#include "comm/trace_recorder.h"
#include "comm/traced_collective.h"
#include "tests/comm/forwarding_communicator.h"

namespace lockstep::testing {

// The host's clock, and how it waits.
struct HostClock {
  std::int64_t (*now_ns)() = TraceRecorder::now_ns;
  void (*wait_until)(std::int64_t ns) = [](std::int64_t ns) {
    while (TraceRecorder::now_ns() < ns) std::this_thread::sleep_for(std::chrono::microseconds(50));
  };
};

// Each place in a stream has its time as soon as it is queued, by the host's clock.
class StandInDevice {
 public:
  static constexpr double kClockRate = 1.001;  // of the device's nanoseconds to the host's

  explicit StandInDevice(HostClock host = {}) : host_(host) {}

  void use_stream(std::size_t stream) { current_ = stream; }
  // The current stream's next work, of `ns`.
  void queue(std::int64_t ns) { done_ns_[current_] = reached_ns() + ns; }
  // The current stream goes on when `stream` has done what is queued there.
  void wait_for(std::size_t stream) { done_ns_[current_] = std::max(reached_ns(), done_ns_[stream]); }

  RecordMoment moments() {
    return [this] { return std::make_shared<const Moment>(reached_ns(), host_); };
  }

 private:
  class Moment final : public DeviceMoment {
   public:
    Moment(std::int64_t at_ns, HostClock host) : at_ns_(at_ns), host_(host) {}
    void wait() const override { host_.wait_until(at_ns_); }
    std::int64_t ns_since(const DeviceMoment& earlier) const override {
      EXPECT_LE(at_ns_, host_.now_ns()) << "the device has not come there yet";
      const std::int64_t host_ns = at_ns_ - static_cast<const Moment&>(earlier).at_ns_;
      return std::llround(static_cast<double>(host_ns) * kClockRate);
    }

   private:
    std::int64_t at_ns_;
    HostClock host_;
  };

  // When the current stream is done with what it has.
  std::int64_t reached_ns() const { return std::max(host_.now_ns(), done_ns_[current_]); }

  HostClock host_;
  std::size_t current_ = 0;
  std::array<std::int64_t, 2> done_ns_{};
};

// Sums are there at once, and take `all_reduce_ns` on stream 1, behind what stream 0 has queued.
class StandInNccl final : public ForwardingCommunicator, public DeviceTraced {
 public:
  StandInNccl(CommunicatorPtr inner, StandInDevice& device, std::int64_t all_reduce_ns)
      : ForwardingCommunicator(std::move(inner)), device_(device), all_reduce_ns_(all_reduce_ns) {}

  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override {
    const auto bytes = static_cast<std::int64_t>(tensor.nbytes());
    WorkPtr sum = ForwardingCommunicator::all_reduce(std::move(tensor), op);
    if (!trace_) return sum;
    const TracedCollective traced(trace_, "all_reduce", bytes);
    device_.use_stream(1);
    device_.wait_for(0);
    traced.queue([this] { device_.queue(all_reduce_ns_); });
    device_.use_stream(0);
    return std::make_shared<StreamWork>(std::move(sum), traced, device_);
  }

  void set_device_trace(std::shared_ptr<DeviceTrace> trace) override { trace_ = std::move(trace); }
  bool is_traced() const { return trace_ != nullptr; }

 private:
  class StreamWork final : public Work {
   public:
    StreamWork(WorkPtr sum, TracedCollective traced, StandInDevice& device)
        : sum_(std::move(sum)), traced_(std::move(traced)), device_(device) {}
    void wait() override {
      sum_->wait();
      traced_.wait([this] { device_.wait_for(1); });
    }
    bool is_completed() const override { return sum_->is_completed(); }

   private:
    WorkPtr sum_;
    TracedCollective traced_;
    StandInDevice& device_;
  };

  StandInDevice& device_;
  std::int64_t all_reduce_ns_;
  std::shared_ptr<DeviceTrace> trace_;
};

}  // namespace lockstep::testing
