#include "comm/device_trace.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/reducer.h"
#include "comm/thread_communicator.h"
#include "tests/comm/stand_in_device.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using testing::HostClock;
using testing::StandInDevice;
using testing::StandInNccl;

constexpr std::int64_t kMs = 1'000'000;

// A host for which a microsecond passes whenever it looks at its clock, and nothing else takes any time.
std::int64_t g_now_ns = 0;

std::int64_t now_ns() {
  return g_now_ns += 1000;
}

void wait_until(std::int64_t ns) {
  g_now_ns = std::max(g_now_ns, ns);
}

constexpr HostClock kHost{now_ns, wait_until};

TEST(DeviceTrace, LaysADriftingClockOnTheHosts) {
  StandInDevice device(kHost);
  DeviceTrace trace(device.moments(), now_ns);
  g_now_ns += 100 * kMs;  // 100 us apart by now
  const DeviceMomentPtr begin = trace.mark();
  const std::int64_t begin_ns = g_now_ns;
  device.queue(20 * kMs);
  const DeviceMomentPtr middle =
      trace.add({.name = "first", .category = "device", .line = TraceEvent::kComputeLine, .bytes = 4}, begin);
  device.queue(5 * kMs);
  trace.add({.name = "second", .category = "device", .line = TraceEvent::kComputeLine}, middle);
  EXPECT_LT(g_now_ns, begin_ns + kMs) << "the host goes on";

  const DeviceTrace::Times times = trace.take();
  EXPECT_EQ(times.uncertainty_ns, 1000) << "two microseconds between the looks at the clock";
  ASSERT_EQ(times.events.size(), 2U);
  const TraceEvent& first = times.events[0];
  EXPECT_EQ(first.name, "first");
  EXPECT_EQ(first.line, TraceEvent::kComputeLine);
  EXPECT_EQ(first.bytes, 4);
  EXPECT_NEAR(static_cast<double>(first.begin_ns), static_cast<double>(begin_ns), 2000);
  EXPECT_NEAR(static_cast<double>(first.duration_ns), 20e6, 4000);
  EXPECT_EQ(times.events[1].begin_ns, first.begin_ns + first.duration_ns) << "they follow each other";
  EXPECT_NEAR(static_cast<double>(times.events[1].duration_ns), 5e6, 4000);
  EXPECT_TRUE(trace.take().events.empty());
}

TEST(DeviceTrace, WaitsForStreamsThatNobodyWaitsFor) {
  StandInDevice device(kHost);
  DeviceTrace trace(device.moments(), now_ns);
  device.use_stream(1);
  const DeviceMomentPtr begin = trace.mark();
  const std::int64_t begin_ns = g_now_ns;
  device.queue(30 * kMs);
  trace.add({.name = "long", .category = "device"}, begin);
  device.use_stream(0);
  const DeviceTrace::Times times = trace.take();
  EXPECT_GE(g_now_ns, begin_ns + 30 * kMs);
  ASSERT_EQ(times.events.size(), 1U);
}

// Every fourth look takes 5 ms: that at the end of the first reading, and some of the later ones.
std::int64_t interrupted_now_ns() {
  static int looks = 1;
  if (++looks % 4 == 0) g_now_ns += 5 * kMs;
  return now_ns();
}

TEST(DeviceTrace, AnInterruptedReadingOfTheClocksDoesNotCount) {
  StandInDevice device({interrupted_now_ns, wait_until});
  DeviceTrace trace(device.moments(), interrupted_now_ns);
  EXPECT_EQ(trace.take().uncertainty_ns, 1000);
}

// What a reducer queues is known by its bucket, and what others queue is not.
TEST(DeviceTrace, CollectivesBearTheirBuckets) {
  StandInDevice device(kHost);
  StandInNccl comm(make_thread_communicators(1, std::chrono::seconds(5)).front(), device, kMs);
  std::vector<std::pair<std::string, at::Tensor>> parameters;
  parameters.emplace_back("p3", at::ones({3}).requires_grad_());
  parameters.emplace_back("p4", at::ones({4}).requires_grad_());
  Reducer reducer(parameters, {&comm, [](Communicator*) {}});
  reducer.load_history({{{1}, {0}}, true});

  TraceRecorder recorder;
  const auto trace = std::make_shared<DeviceTrace>(device.moments(), now_ns);
  recorder.set_device(trace);
  comm.set_device_trace(trace);
  reducer.set_trace(&recorder);
  reducer.prepare_for_forward(true);
  (parameters[0].second.sum() + parameters[1].second.sum()).backward();
  comm.all_reduce(at::ones({5}), ReduceOp::kSum)->wait();
  std::vector<std::string> communication, computing;
  std::vector<std::int64_t> bytes;
  for (const TraceEvent& event : trace->take().events) {
    if (event.line == TraceEvent::kComputeLine) {
      computing.push_back(event.name);
    } else {
      communication.push_back(event.name);
      bytes.push_back(event.bytes);
    }
  }
  EXPECT_THAT(communication, ElementsAre("all_reduce of bucket 0", "all_reduce of bucket 1", "all_reduce"));
  EXPECT_THAT(bytes, ElementsAre(16, 12, 20));
  EXPECT_THAT(computing, ElementsAre("wait for all_reduce of bucket 0", "wait for all_reduce of bucket 1",
                                     "wait for all_reduce"));
}

}  // namespace
}  // namespace lockstep
