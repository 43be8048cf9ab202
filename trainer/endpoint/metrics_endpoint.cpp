#include "trainer/endpoint/metrics_endpoint.h"

#include <prometheus/text_serializer.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include "trainer/endpoint/http_page.h"
#include "trainer/endpoint/metric_families.h"

namespace lockstep {

struct MetricsEndpoint::State {
  std::string page() const {
    LiveRun now;
    {
      const std::scoped_lock lock(mutex);
      now = run;
    }
    std::vector<prometheus::MetricFamily> families = metric_families(now);
    if (nvml) std::ranges::move(metric_families(nvml->read()), std::back_inserter(families));
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, families);
    return text.str();
  }

  mutable std::mutex mutex;
  LiveRun run;
  std::unique_ptr<Nvml> nvml;
};

struct MetricsEndpoint::Server {
  Server(const std::string& address, int port, HttpPage::Page page) : http(address, port, std::move(page)) {}
  HttpPage http;
};

MetricsEndpoint::MetricsEndpoint(const std::string& address, int port, Labels facts, int world_size,
                                 std::unique_ptr<Nvml> nvml)
    : state_(std::make_unique<State>()) {
  state_->run.facts = std::move(facts);
  state_->run.world_size = world_size;
  state_->nvml = std::move(nvml);
  try {
    server_ = std::make_unique<Server>(address, port, [state = state_.get()] { return state->page(); });
  } catch (const std::system_error& error) {
    throw std::invalid_argument("--metrics-port " + std::to_string(port) + ": nothing can listen there on " +
                                address + " (" + error.code().message() +
                                "); choose another port or --metrics-address, or 0 for no endpoint");
  }
}

MetricsEndpoint::~MetricsEndpoint() = default;

int MetricsEndpoint::port() const {
  return server_->http.port();
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
