// RunReporter: everything that rank 0 shows and writes about a run; the other ranks have none.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "trainer/config/train_config.h"
#include "trainer/cost/run_parts.h"
#include "trainer/metrics/metrics_records.h"
#include "trainer/metrics/summary.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {

// What stays the same over an attempt.
struct RunFacts {
  TrainConfig config;
  StartRecord start;         // without price and versions, which the reporter fills in
  std::string data;          // Dataset::description()
  int terminal_columns = 0;  // 0: no terminal
  std::int64_t batches_per_epoch = 0;
  std::int64_t total_steps = 0;                          // optimizer steps of the whole run
  std::int64_t tokens_per_sample = 0;                    // 0: samples are not made of tokens
  std::function<PeakDeviceMemory()> peak_device_memory;  // so far; none on the CPU
};

// Where a run is, for the bar.
struct Position {
  std::int64_t epoch = 0;
  std::int64_t batch = 0;
  std::int64_t step = 0;
  std::int64_t samples_seen = 0;
};

struct StepReport {
  Position at;
  std::int64_t samples = 0;    // of this step, all ranks together
  std::optional<double> loss;  // averaged over ranks; none in a step whose loss was not read
  StepTimes times;
  bool log = false;  // a record and a line, too
  double lr = 0.0;
  std::optional<double> grad_norm;
  std::optional<double> loss_scale;
  std::int64_t bytes_sent = 0;  // in this attempt
};

// Writes metrics.jsonl and the ledger, draws the bar, prints the lines and the table, and meters the cost.
// Used by rank 0's training thread only. A report that cannot be written is warned about once; training goes
// on.
class RunReporter {
 public:
  // Opens the run folder's files and begins a new attempt. Throws DataError if the ledger cannot be written
  // or read, std::invalid_argument for a price that cannot be.
  RunReporter(const RunDir& run_dir, RunFacts facts);
  ~RunReporter();

  // A line for people, above the bar.
  void say(const std::string& line);
  void warn(const std::string& line);

  // What rank 0 does from now on, for the bill: an evaluation, a save, or neither (kIdle).
  void enter(RunPart part);
  // Whether the budget wants the run to save and stop after step `step`, which is under way; and, once all
  // ranks agree, why.
  bool must_stop(std::int64_t step) const;
  bool is_off_peak_over() const;
  bool wants_fewer_ranks() const;  // by --adaptive-ranks
  bool is_at_mark() const;         // within an evaluation: to abandon it
  std::string stop_message() const;
  std::string stop_reason() const;

  // After each step.
  void stepped(const StepReport& step);
  void evaluated(const Position& at, double loss, double accuracy, std::int64_t samples, double seconds);
  void happened(const std::string& event, const Position& at, const std::string& detail,
                std::optional<double> save_time_s = std::nullopt,
                std::optional<double> write_time_s = std::nullopt,
                std::optional<double> read_time_s = std::nullopt);
  // Ends the attempt: the last records, and the table.
  void finished(const std::string& reason, int exit_code, const Position& at,
                std::optional<double> train_loss, std::optional<double> test_loss,
                std::optional<double> test_accuracy, const std::string& checkpoint);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// While it lives, rank 0's time is `part`; on other ranks, which have no reporter, it does nothing.
class BillSpan {
 public:
  BillSpan(std::optional<RunReporter>& reporter, RunPart part) : reporter_(reporter) {
    if (reporter_) reporter_->enter(part);
  }
  ~BillSpan() {
    if (reporter_) reporter_->enter(RunPart::kIdle);
  }
  BillSpan(const BillSpan&) = delete;
  BillSpan& operator=(const BillSpan&) = delete;

 private:
  std::optional<RunReporter>& reporter_;
};

}  // namespace lockstep
