#include "trainer/trace/step_tracer.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/comm/rank_threads.h"
#include "tests/comm/stand_in_device.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using Json = nlohmann::json;

// What the trainer does around each step.
void run_steps(StepTracer& tracer, StepTimer& timer, std::int64_t steps) {
  for (std::int64_t step = 1; step <= steps; ++step) {
    tracer.begin_step(step);
    timer.begin_step();
    timer.begin(StepPart::kForward);
    timer.begin(StepPart::kBackward);
    { const TraceSpan wait(tracer.recorder(), "wait", "wait for bucket 0"); }
    timer.end_step();
    tracer.end_step();
    const TraceSpan evaluation(tracer.recorder(), "run", "evaluation");
  }
  tracer.finish();
}

// The trace that `world_size` ranks leave of `options`' steps after `steps` of them.
Json traced(int world_size, std::int64_t first_step, std::int64_t trace_steps, std::int64_t steps) {
  const TemporaryFolder folder;
  std::string said;
  testing::run_ranks(world_size, [&](Communicator& comm) {
    StepTimer timer;
    StepTracerOptions options{
        .first_step = first_step, .steps = trace_steps, .file = folder.path() / "trace.json"};
    if (comm.rank() == 0) options.say = [&](const std::string& line) { said = line; };
    StepTracer tracer(options, {&comm, [](Communicator*) {}}, timer);
    run_steps(tracer, timer, steps);
    EXPECT_EQ(tracer.recorder(), nullptr);
  });
  EXPECT_NE(said.find((folder.path() / "trace.json").string()), std::string::npos) << said;
  std::ifstream file(folder.path() / "trace.json");
  return Json::parse(file);
}

std::vector<Json> spans(const Json& trace, int rank, const std::string& category) {
  std::vector<Json> found;
  for (const Json& event : trace["traceEvents"]) {
    if (event["ph"] == "X" && event["pid"] == rank && event["cat"] == category) found.push_back(event);
  }
  return found;
}

bool contains(const Json& outer, const Json& inner) {
  const double slack_us = 0.002;  // times are rounded to thousandths
  return outer["ts"].get<double>() <= inner["ts"].get<double>() + slack_us &&
         inner["ts"].get<double>() + inner["dur"].get<double>() <=
             outer["ts"].get<double>() + outer["dur"].get<double>() + slack_us;
}

TEST(StepTracer, RecordsTheStepsAskedForOnEveryRank) {
  const Json trace = traced(3, 2, 2, 5);
  EXPECT_EQ(trace["otherData"]["steps"], "2 to 3");
  EXPECT_EQ(trace["otherData"]["clocks"], "all ranks read the same clock");
  EXPECT_FALSE(trace["otherData"].contains("device_clocks"));
  for (int rank = 0; rank < 3; ++rank) {
    const auto steps = spans(trace, rank, "step");
    ASSERT_EQ(steps.size(), 2U);
    EXPECT_EQ(steps[0]["name"], "step 2");
    EXPECT_EQ(steps[1]["name"], "step 3");
    EXPECT_LE(steps[0]["ts"].get<double>() + steps[0]["dur"].get<double>(), steps[1]["ts"].get<double>());
    const auto parts = spans(trace, rank, "part");
    EXPECT_GE(parts.size(), 4U);
    for (const Json& part : parts) EXPECT_TRUE(contains(steps[0], part) || contains(steps[1], part)) << part;
    EXPECT_EQ(spans(trace, rank, "wait").size(), 2U);
    EXPECT_EQ(spans(trace, rank, "run").size(), 1U);  // between the two steps
    for (const Json& event : trace["traceEvents"]) {
      EXPECT_TRUE(event["ph"] == "M" || event["ts"].get<double>() >= 0.0) << event;
    }
  }
}

TEST(StepTracer, WaitsLieWithinTheirBackwardPass) {
  const Json trace = traced(1, 1, 1, 1);
  const auto waits = spans(trace, 0, "wait");
  ASSERT_EQ(waits.size(), 1U);
  for (const Json& part : spans(trace, 0, "part")) {
    EXPECT_TRUE(part["name"] != "backward" || contains(part, waits[0])) << part;
  }
}

constexpr std::int64_t kMs = 1'000'000;

// Two steps of a model on a device that needs 3 ms for the forward pass and twice 4 ms for the backward pass,
// after each of which a sum of 2 ms begins.
void run_steps_on(testing::StandInDevice& device, Communicator& comm, StepTracer& tracer, StepTimer& timer) {
  for (std::int64_t step = 1; step <= 2; ++step) {
    tracer.begin_step(step);
    timer.begin_step();
    timer.begin(StepPart::kForward);
    device.queue(3 * kMs);
    timer.begin(StepPart::kBackward);
    std::vector<WorkPtr> sums;
    for (std::size_t bucket = 0; bucket < 2; ++bucket) {
      device.queue(4 * kMs);
      const TracedBucket traced(tracer.recorder(), bucket);
      sums.push_back(comm.all_reduce(at::ones({5})));
    }
    for (const WorkPtr& sum : sums) sum->wait();
    timer.end_step();
    tracer.end_step();
  }
}

Json traced_device(int world_size) {
  const TemporaryFolder folder;
  testing::run_ranks(world_size, [&](Communicator& comm) {
    testing::StandInDevice device;
    const auto nccl =
        std::make_shared<testing::StandInNccl>(CommunicatorPtr(&comm, [](Communicator*) {}), device, 2 * kMs);
    StepTimer timer;
    StepTracerOptions options{.first_step = 1, .steps = 2, .file = folder.path() / "trace.json"};
    options.device_moments = device.moments();
    options.say = [](const std::string&) {};
    StepTracer tracer(options, nccl, timer);
    run_steps_on(device, *nccl, tracer, timer);
    EXPECT_FALSE(nccl->is_traced()) << "after the last traced step";
  });
  std::ifstream file(folder.path() / "trace.json");
  return Json::parse(file);
}

Json named(const std::vector<Json>& events, const std::string& name) {
  const auto found =
      std::find_if(events.begin(), events.end(), [&](const Json& event) { return event["name"] == name; });
  if (found == events.end()) throw std::out_of_range("no event is named " + name);
  return *found;
}

// By how much this test's clocks may be read wrongly.
constexpr double kSlackUs = 200.0;

TEST(StepTracer, ADevicesSumsLieUnderItsBackwardPass) {
  const Json trace = traced_device(2);
  EXPECT_TRUE(trace["otherData"].contains("device_clocks"));
  const auto begin = [](const Json& event) { return event["ts"].get<double>(); };
  const auto end = [&](const Json& event) { return begin(event) + event["dur"].get<double>(); };
  for (int rank = 0; rank < 2; ++rank) {
    const auto on_device = spans(trace, rank, "device");
    for (const Json& step : spans(trace, rank, "step")) {
      const Json device_step = named(on_device, step["name"]);
      EXPECT_GE(begin(device_step), begin(step) - kSlackUs);
      std::vector<Json> within, sums;
      for (const Json& event : on_device)
        if (contains(device_step, event)) within.push_back(event);
      for (const Json& event : spans(trace, rank, "collective"))
        if (contains(device_step, event)) sums.push_back(event);
      const Json forward = named(within, "forward");
      const Json backward = named(within, "backward");
      EXPECT_GE(end(forward) - begin(forward), 3000.0 - kSlackUs);
      EXPECT_NEAR(begin(backward), end(forward), 0.002) << "a part begins where the one before it ends";
      ASSERT_EQ(sums.size(), 2U);
      const Json first = named(sums, "all_reduce of bucket 0");
      EXPECT_GE(begin(first), begin(backward) + 4000.0 - kSlackUs) << "when its gradients are there";
      EXPECT_GE(end(first) - begin(first), 2000.0 - kSlackUs);
      const Json wait = named(within, "wait for all_reduce of bucket 0");
      EXPECT_GE(begin(wait), begin(first) + 4000.0 - kSlackUs) << "the other half is computed beside it";
      // The step before may end with one of no length where this begins.
      const Json last_wait = named({within.rbegin(), within.rend()}, "wait for all_reduce of bucket 1");
      EXPECT_GE(end(last_wait), end(named(sums, "all_reduce of bucket 1")) - kSlackUs);
      EXPECT_TRUE(contains(backward, wait) && contains(backward, last_wait));
    }
  }
}

TEST(StepTracer, ARunThatEndsEarlierWritesWhatThereIs) {
  const Json trace = traced(2, 2, 10, 4);
  EXPECT_EQ(trace["otherData"]["steps"], "2 to 4");
  EXPECT_EQ(spans(trace, 1, "step").size(), 3U);
}

TEST(StepTracer, ATraceThatCannotBeWrittenIsAWarning) {
  const TemporaryFolder folder;
  std::string warned;
  testing::run_ranks(2, [&](Communicator& comm) {
    StepTimer timer;
    StepTracerOptions options{.first_step = 1, .steps = 1, .file = folder.path() / "missing" / "trace.json"};
    if (comm.rank() == 0) options.warn = [&](const std::string& line) { warned = line; };
    StepTracer tracer(options, {&comm, [](Communicator*) {}}, timer);
    run_steps(tracer, timer, 2);
  });
  EXPECT_NE(warned.find("missing"), std::string::npos) << warned;
}

TEST(StepTracer, WarmUpLeavesRoomForTheSteps) {
  EXPECT_EQ(trace_warm_up(100, 3), 5);
  EXPECT_EQ(trace_warm_up(6, 3), 3);
  EXPECT_EQ(trace_warm_up(3, 3), 0);
  EXPECT_EQ(trace_warm_up(1, 3), 0);
}

}  // namespace
}  // namespace lockstep
