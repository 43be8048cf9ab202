#include "trainer/trace/trace_format.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

using Json = nlohmann::json;

TEST(TraceFormat, IsTheTraceEventFormat) {
  const std::string rank0 = to_trace_events(
      {.rank = 0, .label = "rank 0 on here", .origin_ns = 1'000'000},
      {{.name = "step 6", .category = "step", .begin_ns = 1'000'000, .duration_ns = 2'500},
       {.name = "ready", .category = "bucket", .line = 1, .begin_ns = 1'001'250, .bytes = 400}});
  const std::string rank1 = to_trace_events({.rank = 1, .label = "rank 1 \"there\"", .origin_ns = 0}, {});
  const Json file = Json::parse(to_trace_file({rank0, rank1}, {{"clocks", "one"}}));
  EXPECT_EQ(file["otherData"]["clocks"], "one");
  const Json& events = file["traceEvents"];
  ASSERT_EQ(events.size(), 8U);
  EXPECT_EQ(events[0], Json::parse(R"({"ph": "M", "pid": 0, "tid": 0, "name": "process_name",
                                       "args": {"name": "rank 0 on here"}})"));
  EXPECT_EQ(events[2]["args"]["name"], "training");
  EXPECT_EQ(events[3], Json::parse(R"({"ph": "X", "pid": 0, "tid": 0, "ts": 0.0, "dur": 2.5, "cat": "step",
                                       "name": "step 6"})"));
  EXPECT_EQ(events[4]["args"]["name"], "bucket 0");
  EXPECT_EQ(events[5], Json::parse(R"({"ph": "i", "pid": 0, "tid": 1, "ts": 1.25, "s": "t", "cat": "bucket",
                                       "name": "ready", "args": {"bytes": 400}})"));
  EXPECT_EQ(events[6]["args"]["name"], "rank 1 \"there\"");
  EXPECT_EQ(events[6]["pid"], 1);
}

TEST(TraceFormat, ADevicesLinesAreNamed) {
  const std::string text =
      to_trace_events({}, {{.name = "forward", .category = "device", .line = TraceEvent::kComputeLine},
                           {.name = "all_reduce", .line = TraceEvent::kCommunicationLine}});
  const Json events = Json::parse("[" + text + "]");
  ASSERT_EQ(events.size(), 6U);
  EXPECT_EQ(events[2]["args"]["name"], "device: compute");
  EXPECT_EQ(events[4]["args"]["name"], "device: communication");
  EXPECT_NE(events[3]["tid"], events[5]["tid"]);
}

}  // namespace
}  // namespace lockstep
