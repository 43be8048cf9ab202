#include "trainer/metrics/metrics_history.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>

namespace lockstep {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestLine = 1 << 20;

std::int64_t integer_in(const Json& line, const char* key, std::int64_t otherwise) {
  const auto found = line.find(key);
  return found != line.end() && found->is_number_integer() ? found->get<std::int64_t>() : otherwise;
}

std::string text_in(const Json& line, const char* key) {
  const auto found = line.find(key);
  return found != line.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void take_start(const Json& line, MetricsHistory& history) {
  constexpr std::int64_t kMostAttempts = 1'000'000'000;
  const std::int64_t attempt = integer_in(line, "attempt", 0);
  if (attempt < 1 || attempt > kMostAttempts) return;
  history.last_attempt = std::max(history.last_attempt, static_cast<int>(attempt));
  const auto ranks_in = [&](const char* key) {
    return static_cast<int>(
        std::clamp<std::int64_t>(integer_in(line, key, 0), 0, std::numeric_limits<int>::max()));
  };
  history.world_size = ranks_in("world_size");
  history.logical_world_size = ranks_in("logical_world_size");
  history.train_samples = integer_in(line, "train_samples", 0);
  history.max_epochs = integer_in(line, "max_epochs", 0);
  history.max_steps = integer_in(line, "max_steps", 0);
  history.remaining_s.reset();
  history.ended_finished = false;
}

}  // namespace

MetricsHistory read_metrics_history(const std::filesystem::path& file) {
  std::ifstream input(file, std::ios::binary);
  MetricsHistory history;
  std::string text;
  while (std::getline(input, text) && !input.eof()) {
    if (text.size() > kLongestLine) continue;
    const Json line = Json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!line.is_object()) continue;
    const std::string kind = text_in(line, "kind");
    if (kind == "start") take_start(line, history);
    if (kind == "end") history.ended_finished = text_in(line, "reason") == "finished";
    if (kind == "event" && text_in(line, "event") == "checkpoint") {
      ++history.saves;
      if (const auto took = line.find("save_time_s"); took != line.end() && took->is_number())
        history.save_time_s += std::max(0.0, took->get<double>());
    }
    if (kind == "eval") {
      ++history.evaluations;
      if (const auto took = line.find("eval_time_s"); took != line.end() && took->is_number())
        history.evaluation_time_s += std::max(0.0, took->get<double>());
    }
    if (kind == "train") {
      history.remaining_s.reset();
      if (const auto left = line.find("remaining_s"); left != line.end() && left->is_number())
        history.remaining_s = left->get<double>();
    }
    history.last_step = std::max(history.last_step, integer_in(line, "step", 0));
  }
  return history;
}

}  // namespace lockstep
