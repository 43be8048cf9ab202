#include "trainer/endpoint/metrics_endpoint.h"

#include <prometheus/collectable.h>
#include <prometheus/exposer.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <stdexcept>

#include "trainer/endpoint/metric_families.h"

namespace lockstep {

struct MetricsEndpoint::State : prometheus::Collectable {
  std::vector<prometheus::MetricFamily> Collect() const override {
    LiveRun now;
    {
      const std::scoped_lock lock(mutex);
      now = run;
    }
    std::vector<prometheus::MetricFamily> families = metric_families(now);
    if (nvml) std::ranges::move(metric_families(nvml->read()), std::back_inserter(families));
    return families;
  }

  mutable std::mutex mutex;
  LiveRun run;
  std::unique_ptr<Nvml> nvml;
};

struct MetricsEndpoint::Server {
  explicit Server(const std::string& address) : exposer(address) {}
  prometheus::Exposer exposer;
};

MetricsEndpoint::MetricsEndpoint(const std::string& address, int port, Labels facts, int world_size,
                                 std::unique_ptr<Nvml> nvml)
    : state_(std::make_shared<State>()) {
  state_->run.facts = std::move(facts);
  state_->run.world_size = world_size;
  state_->nvml = std::move(nvml);
  const bool is_ipv6 = address.find(':') != std::string::npos;
  const std::string place = (is_ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(port);
  try {
    server_ = std::make_unique<Server>(place);
  } catch (const std::exception&) {  // its text only guesses at the reason
    throw std::invalid_argument(
        "--metrics-port " + std::to_string(port) + ": nothing can listen on " + place +
        "; the port is taken, or the address is not this machine's: choose others, or 0 "
        "for no endpoint");
  }
  server_->exposer.RegisterCollectable(state_);
}

MetricsEndpoint::~MetricsEndpoint() = default;

int MetricsEndpoint::port() const {
  return server_->exposer.GetListeningPorts().at(0);
}

void MetricsEndpoint::update(const LiveMetrics& metrics) {
  const std::scoped_lock lock(state_->mutex);
  state_->run.metrics = metrics;
}

void MetricsEndpoint::evaluated(const LiveEvaluation& evaluation) {
  const std::scoped_lock lock(state_->mutex);
  state_->run.evaluation = evaluation;
}

void MetricsEndpoint::saved() {
  const std::scoped_lock lock(state_->mutex);
  ++state_->run.checkpoints;
}

}  // namespace lockstep
