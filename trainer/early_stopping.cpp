#include "trainer/early_stopping.h"

#include <cmath>

namespace lockstep {
namespace {

bool improves(const std::string& monitor, double value, std::optional<double> on, double by_more_than) {
  if (std::isnan(value)) return false;
  if (!on) return true;
  return monitor == "test_accuracy" ? value > *on + by_more_than : value < *on - by_more_than;
}

}  // namespace

void observe(MonitorState& state, const MonitorOptions& options, double value, std::int64_t step) {
  if (state.monitor != options.monitor) {
    state = {};
    state.monitor = options.monitor;
  }
  if (improves(options.monitor, value, state.reference, options.min_delta)) {
    state.reference = value;
    state.without_improvement = 0;
  } else {
    ++state.without_improvement;
  }
  if (improves(options.monitor, value, state.best, 0.0)) {
    state.best = value;
    state.best_step = step;
  }
}

bool stops_early(const MonitorState& state, const MonitorOptions& options) {
  return options.patience > 0 && state.monitor == options.monitor &&
         state.without_improvement >= options.patience;
}

}  // namespace lockstep
