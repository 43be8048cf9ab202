// The families of metrics that the endpoint exposes. docs/contracts.md lists them.
#pragma once

#include <prometheus/metric_family.h>

#include <optional>
#include <vector>

#include "trainer/endpoint/metrics_endpoint.h"

namespace lockstep {

// All that is known about a run at one moment.
struct LiveRun {
  MetricsEndpoint::Labels facts;
  int world_size = 1;
  LiveMetrics metrics;
  std::optional<LiveEvaluation> evaluation;
  std::int64_t checkpoints = 0;  // of this attempt
};

std::vector<prometheus::MetricFamily> metric_families(const LiveRun& run);
std::vector<prometheus::MetricFamily> metric_families(const std::vector<GpuReading>& gpus);

}  // namespace lockstep
