// MetricsEndpoint: a run as Prometheus sees it, at http://ADDRESS:PORT/metrics.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trainer/cost/spend.h"
#include "trainer/metrics/step_timer.h"
#include "trainer/nvml/nvml.h"

namespace lockstep {

// What changes from step to step. Counts and amounts are over all attempts unless they say otherwise.
struct LiveMetrics {
  std::int64_t epoch = 0;  // counts from 0
  std::int64_t step = 0;
  std::int64_t samples_seen = 0;
  std::optional<double> loss;
  double lr = 0.0;
  StepTimes times;              // of this attempt
  std::int64_t bytes_sent = 0;  // by rank 0 for collectives, in this attempt
  Spend spend;
  std::optional<double> remaining_s;
  std::optional<Spend> to_finish;
};

// What an evaluation found.
struct LiveEvaluation {
  double loss = 0.0;
  double accuracy = 0.0;  // in [0, 1]
};

// For rank 0. A thread of its own answers; update() and the like only store, so that a step pays for a lock
// and a copy. GPUs are asked when Prometheus asks.
class MetricsEndpoint {
 public:
  // Labels of lockstep_run_info, such as {"model", "mlp"}.
  using Labels = std::vector<std::pair<std::string, std::string>>;

  // `address`: an IP address to listen on. `port` 0: a free one. `nvml` may be null. Throws
  // std::invalid_argument if nothing can listen there.
  MetricsEndpoint(const std::string& address, int port, Labels facts, int world_size,
                  std::unique_ptr<Nvml> nvml);
  ~MetricsEndpoint();

  int port() const;

  // Thread-safe.
  void update(const LiveMetrics& metrics);
  void evaluated(const LiveEvaluation& evaluation);
  void saved();

 private:
  struct State;
  std::unique_ptr<State> state_;
  struct Server;
  std::unique_ptr<Server> server_;
};

}  // namespace lockstep
