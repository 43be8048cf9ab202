// Lines of metrics.jsonl for tests, as docs/contracts.md has them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace lockstep::testing {

inline nlohmann::ordered_json start_line(int attempt, double time_unix_s, int step,
                                         nlohmann::ordered_json more = {}) {
  nlohmann::ordered_json line = {{"kind", "start"},
                                 {"attempt", attempt},
                                 {"time_unix_s", time_unix_s},
                                 {"world_size", 2},
                                 {"device", "cpu"},
                                 {"model", "mlp"},
                                 {"step", step},
                                 {"price_per_gpu_hour", 1.5},
                                 {"currency", "USD"},
                                 {"versions", {{"torch", "2.11.0"}}}};
  if (!more.is_null()) line.update(more);
  return line;
}

// `steps` steps of 0.1 s that end with `step`: data 0.01, forward 0.02, backward 0.03, exposed communication
// 0.02, optimizer 0.015, other 0.005.
inline nlohmann::ordered_json train_line(int attempt, double time_unix_s, int step, int steps,
                                         double elapsed_s, nlohmann::ordered_json more = {}) {
  nlohmann::ordered_json line = {{"kind", "train"},
                                 {"attempt", attempt},
                                 {"time_unix_s", time_unix_s},
                                 {"epoch", 0},
                                 {"step", step},
                                 {"loss", 1.0 / step},
                                 {"lr", 0.1},
                                 {"samples_per_s", 640.0},
                                 {"steps", steps},
                                 {"step_time_s", 0.1},
                                 {"data_s", 0.01},
                                 {"forward_s", 0.02},
                                 {"backward_s", 0.03},
                                 {"exposed_communication_s", 0.02},
                                 {"optimizer_s", 0.015},
                                 {"other_s", 0.005},
                                 {"elapsed_s", elapsed_s},
                                 {"spend", 0.001 * step}};
  if (!more.is_null()) line.update(more);
  return line;
}

inline nlohmann::ordered_json event_line(int attempt, double time_unix_s, const std::string& event, int step,
                                         double elapsed_s, nlohmann::ordered_json more = {}) {
  nlohmann::ordered_json line = {{"kind", "event"}, {"attempt", attempt}, {"time_unix_s", time_unix_s},
                                 {"event", event},  {"step", step},       {"elapsed_s", elapsed_s}};
  if (!more.is_null()) line.update(more);
  return line;
}

inline nlohmann::ordered_json end_line(int attempt, double time_unix_s, const std::string& reason, int step,
                                       double elapsed_s) {
  return {{"kind", "end"},    {"attempt", attempt}, {"time_unix_s", time_unix_s},
          {"reason", reason}, {"step", step},       {"elapsed_s", elapsed_s}};
}

}  // namespace lockstep::testing
