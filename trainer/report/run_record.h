// What a run folder tells a report: metrics.jsonl read back (docs/contracts.md), and the options in
// config.toml.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

// Not-a-number stands for a value that the run did not have (a price, an accuracy) or that was none (a NaN
// loss).
struct TrainPoint {
  std::int64_t step = 0;
  double running_s = 0.0;  // since the run's start, without the pauses between attempts
  double loss = 0.0;
  double lr = 0.0;
  double samples_per_s = 0.0;
  double spend = 0.0;
};

struct EvalPoint {
  std::int64_t step = 0;
  double running_s = 0.0;
  double loss = 0.0;
  double accuracy = 0.0;  // in [0, 1]
};

struct RunEvent {
  std::string event = {};
  int attempt = 0;
  std::int64_t step = 0;
  double time_unix_s = 0.0;
  double running_s = 0.0;
  double save_time_s = 0.0;  // NaN: none
  std::string detail = {};
};

struct RunAttempt {
  int attempt = 0;
  std::int64_t first_step = 0;  // steps done before it
  std::int64_t last_step = 0;   // the last that it logged or ended with
  double start_unix_s = 0.0;
  double end_unix_s = 0.0;          // of its last line
  double running_s = 0.0;           // as far as its lines go
  double earlier_s = 0.0;           // running time of the attempts before it
  double gpus = 0.0;                // a CPU rank counts as one
  double price_per_gpu_hour = 0.0;  // NaN: unknown
  std::string currency = {};
  std::string end_reason = {};  // empty: it was killed, or is running still
};

struct TimePart {
  std::string name = {};
  double seconds = 0.0;
  double money = 0.0;  // NaN: no price is known, or there are several currencies
};

struct RunRecord {
  std::string name = {};                                     // the folder, as it was named
  std::vector<std::pair<std::string, std::string>> facts;    // of the last attempt's start line, for people
  std::vector<std::pair<std::string, std::string>> options;  // config.toml; empty if there is none
  std::vector<RunAttempt> attempts;
  // Only what holds: steps that a later attempt took back, going on from before them, are left out.
  std::vector<TrainPoint> train;
  std::vector<EvalPoint> evaluations;
  std::vector<RunEvent> events;
  // Where the running time of all attempts went: by the ledger, or where it does not say, by the metrics.
  // They add up to it.
  std::vector<TimePart> parts;
  std::vector<TimePart> step_parts;  // of training steps that hold, by the metrics
  std::string currency = {};         // of the money in `parts`; empty where that is NaN
  std::vector<std::string> damaged;  // "metrics.jsonl, line 7: ...": lines that were passed over
};

// Throws DataError for a folder without a metrics.jsonl that can be read, and for one that holds no attempt.
// Damaged lines are passed over and named.
RunRecord read_run(const std::filesystem::path& run_dir);

}  // namespace lockstep
