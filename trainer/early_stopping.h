// What a run learns from its evaluations: which epoch was the best, and whether nothing improves any more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace lockstep {

struct MonitorOptions {
  std::string monitor = "test_loss";  // or test_accuracy, of which more is better
  std::int64_t patience = 0;          // evaluations in a row without improvement that end the run; 0: none do
  double min_delta = 0.0;             // what an improvement has to exceed, for `patience`
};

// Part of TrainState, so that a run that goes on also goes on counting.
struct MonitorState {
  std::string monitor;                    // what the values are of
  std::optional<double> reference;        // the last value that improved by more than min_delta
  std::int64_t without_improvement = 0;   // evaluations since then
  std::optional<double> best;             // of all evaluations
  std::optional<std::int64_t> best_step;  // after which it was
};

// An epoch's evaluation after `step` gave `value`. NaN never improves on anything. Values of another monitor
// are forgotten first.
void observe(MonitorState& state, const MonitorOptions& options, double value, std::int64_t step);

bool stops_early(const MonitorState& state, const MonitorOptions& options);

}  // namespace lockstep
