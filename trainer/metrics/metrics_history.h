// What metrics.jsonl tells of the attempts before: for the next one's number, and for what is rework.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace lockstep {

struct MetricsHistory {
  int last_attempt = 0;        // the highest that has a start record; 0: none
  std::int64_t last_step = 0;  // the highest of any line
  // Of the last start record:
  int world_size = 0;
  int logical_world_size = 0;
  std::int64_t train_samples = 0;
  std::int64_t max_epochs = 0;
  std::int64_t max_steps = 0;
  std::optional<double> remaining_s;  // of the last train line
  bool ended_finished = false;        // the last end record says "finished"
  std::int64_t saves = 0;             // checkpoints of all attempts
  double save_time_s = 0.0;           // how long training stood still for them together

  std::int64_t evaluations = 0;  // of all attempts
  double evaluation_time_s = 0.0;

  double mean_evaluation_s() const {
    return evaluations > 0 ? evaluation_time_s / static_cast<double>(evaluations) : 0.0;
  }
  double mean_save_s() const { return saves > 0 ? save_time_s / static_cast<double>(saves) : 0.0; }
};

// Lines that cannot be read, and a file that is not there, count as nothing.
MetricsHistory read_metrics_history(const std::filesystem::path& file);

}  // namespace lockstep
