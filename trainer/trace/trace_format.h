// The trace-event format that Chrome (chrome://tracing) and Perfetto (ui.perfetto.dev) read: "Trace Event
// Format", Google 2016.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "comm/trace_recorder.h"

namespace lockstep {

// What tells the ranks' lines apart, and how their times fit together.
struct TraceProcess {
  int rank = 0;
  std::string label;           // for people: "rank 1 on node7"
  std::int64_t origin_ns = 0;  // this rank's clock at the trace's zero
};

// One rank's events as JSON objects with commas between them, times in microseconds: process `rank`, a thread
// for each line.
std::string to_trace_events(const TraceProcess& process, const std::vector<TraceEvent>& events);

// The whole file of what every rank's to_trace_events() gave, with `metadata` for people.
std::string to_trace_file(const std::vector<std::string>& ranks,
                          const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace lockstep
