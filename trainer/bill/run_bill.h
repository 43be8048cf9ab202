// RunBill: the money of a run while it is going, on rank 0. It meters an attempt, keeps its ledger, projects
// what is still to come, and says when the budget's mark is near.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "trainer/config/train_config.h"
#include "trainer/cost/cost_meter.h"
#include "trainer/cost/run_parts.h"
#include "trainer/metrics/costs.h"
#include "trainer/metrics/step_timer.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {

// What stays the same over an attempt.
struct RunSize {
  int gpus = 1;
  std::int64_t total_steps = 0;  // optimizer steps of the whole run
  std::int64_t steps_per_epoch = 1;
  std::int64_t samples_per_step = 1;  // all ranks together, in a full step
  std::int64_t test_samples = 0;
  std::int64_t tokens_per_sample = 0;  // 0: samples are counted
  std::int64_t parameter_bytes = 0;
  int logical_world_size = 1;
  std::int64_t reached_step = 0;  // by an attempt that failed; ledger and metrics may know of fewer
};

// For the training thread; the ledger's heartbeat is a thread of its own.
class RunBill {
 public:
  using Tell = std::function<void(const std::string& line)>;

  // Begins a new attempt in the ledger. `say` and `warn` get lines for the user from the training thread;
  // `warn_later` from the heartbeat's. Throws DataError if the ledger or the price table cannot be used,
  // std::invalid_argument for a price that cannot be or a budget that is spent already.
  struct Tellers {
    Tell say, warn, warn_later;
  };
  RunBill(const RunDir& run_dir, const TrainConfig& config, const RunSize& size, Tellers tellers);
  ~RunBill();

  int attempt() const;
  const Tariff& tariff() const;
  // Seconds of this attempt, its launch included.
  double running_s() const;
  RunPartTimes parts() const;

  // What the run does from now on: an evaluation, a save, or neither (kIdle).
  void enter(RunPart part);
  // After each step; `step` is its number. Returns whether an earlier attempt had done it already.
  bool stepped(std::int64_t step, const StepTimes& times);
  // A checkpoint took `seconds` to be written while training went on; the last one will have to be waited
  // for.
  void wrote(double seconds);
  // Before all ranks agree on how to go on after step `step`: whether the run has to save and stop.
  bool must_stop(std::int64_t step) const;
  // The training loss of a step, for --adaptive-ranks.
  void observe_loss(std::int64_t step, double loss);
  // With how many ranks the run should go on, by its rules; 0: as many as now. And which one says so.
  int fewer_ranks() const;
  std::string fewer_ranks_condition() const;
  // Whether the hours of --off-peak are over.
  bool is_off_peak_over() const;
  // Whether saving now would take all that is left up to the mark.
  bool is_at_mark() const;
  // What must_stop() said and the ranks agreed on, for the user; and for the ledger: "budget", or
  // "projection" where the run would have cost too much.
  std::string stop_message() const;
  std::string stop_reason() const;

  // `epochs`: done, fractions included.
  Costs costs(std::int64_t step, double epochs, std::int64_t samples_seen) const;

  // The attempt's last record; with the reason kFewerRanks it holds fewer_ranks().
  void close(const std::string& reason);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lockstep
