// RunSinks: where else a run is seen while it goes on: TensorBoard's files and Prometheus' endpoint.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "trainer/config/train_config.h"
#include "trainer/endpoint/metrics_endpoint.h"
#include "trainer/metrics/metrics_records.h"
#include "trainer/run_dir/run_dir.h"
#include "trainer/tensorboard/event_file.h"

namespace lockstep {

// Rank 0's; used by its training thread only. What cannot be written is warned about once; training goes on.
class RunSinks {
 public:
  using Warn = std::function<void(const std::string& line)>;

  // Opens what `config` asks for. Throws std::invalid_argument if nothing can listen on --metrics-port.
  RunSinks(const RunDir& run_dir, const TrainConfig& config, const StartRecord& start, Warn warn);

  // Whether stepped() leads anywhere.
  bool live() const { return endpoint_.has_value(); }
  void stepped(const LiveMetrics& metrics);
  void logged(const TrainRecord& record);
  void evaluated(const EvalRecord& record);
  void happened(const EventRecord& record);

 private:
  std::optional<MetricsEndpoint> endpoint_;  // --metrics-port
  std::optional<EventFile> tensorboard_;     // --tensorboard
};

}  // namespace lockstep
