// How a Trainer saves, and what it remembers of its evaluations.
#include <cmath>
#include <stdexcept>
#include <utility>

#include "trainer/checkpoint/snapshot.h"
#include "trainer/config/checkpoint_options.h"
#include "trainer/cost/ledger.h"
#include "trainer/device_memory.h"
#include "trainer/model_state.h"
#include "trainer/trainer.h"

namespace lockstep {

// With it rank 0's reporter, whose attempt the earlier ones in the ledger must not contain.
void Trainer::make_saver(const TrainerParts& parts) {
  if (!config_.adaptive_ranks.empty() && config_.logical_world_size == 0) {
    throw std::invalid_argument(
        "--adaptive-ranks: it takes lockstep train to start the ranks, or --logical-world-size L for them to "
        "share");
  }
  double mean_time_s = 0.0;
  if (communicator_->rank() == 0) {
    mean_time_s = mean_time_between_failures_s(read_ledger(run_dir_.ledger_file()),
                                               config_.mean_time_between_failures_h, parts.nodes);
    RunFacts run_facts = facts();
    run_facts.terminal_columns = parts.terminal_columns;
    if (device_.is_cuda())
      run_facts.peak_device_memory = [this] { return peak_device_memory(device_, *communicator_); };
    reporter_.emplace(run_dir_, std::move(run_facts));
  }
  std::optional<std::int64_t> complete;
  if (parts.checkpoint) complete = parts.checkpoint->step;
  saver_.emplace(communicator_, config_, run_dir_, reporter_ ? &*reporter_ : nullptr, mean_time_s, complete);
  monitor_ = {.monitor = config_.early_stopping_monitor,
              .patience = config_.early_stopping_patience,
              .min_delta = config_.early_stopping_min_delta};
}

std::optional<std::int64_t> Trainer::save_every_steps() const {
  const auto interval = parse_checkpoint_interval(config_.checkpoint_interval);
  if (interval->kind != CheckpointInterval::Kind::kSteps) return std::nullopt;
  return interval->steps;
}

// A collective: rank 0 copies what it gathers from all, and writes the copy while training goes on.
void Trainer::save() {
  if (saved_step_ == state_.step && state_.batch != 0) return;
  const TraceSpan span(trace(), "run", "checkpoint");
  const BillSpan bill(reporter_, RunPart::kCheckpoint);
  heartbeat_.beat(RankPhase::kSaving, state_.step);
  saver_->begin();
  ddp_->sync_buffers();  // where the last to pass forward here was not logical rank 0
  wait_for_parameters();
  stop_for_bad_parameters();
  saved_step_ = state_.step;
  save_wanted_ = false;
  state_.random_states = logical_ranks_.gather_random_states(*communicator_);
  state_.schedule = schedule_identity();
  state_.schedule_steps = schedule_->steps();
  state_.lr = schedule_->lr();
  state_.momentum = schedule_->momentum();
  if (scaler_) state_.grad_scaler = scaler_->state();
  const auto copy = [this](const OptimizerStateEntry& entry) {
    const std::string key = "optimizer." + std::to_string(entry.parameter_index) + "." + entry.name;
    return saver_->snapshot().copy(key, entry.value);
  };
  // A collective where the ranks share it out.
  state_.optimizer = sharded_ != nullptr ? sharded_->snapshot_state(copy) : optimizer_->state();
  if (saver_->writes()) {
    state_.buckets = ddp_->reducer().history();
    state_.optimizer_name = optimizer_->name();
    Checkpoint checkpoint;
    checkpoint.step = state_.step;
    if (config_.keep_best) checkpoint.best_step = state_.monitor.best_step;
    for (const auto& [name, tensor] : model_state(*model_))
      checkpoint.model.emplace_back(name, saver_->snapshot().copy("model." + name, tensor));
    if (sharded_ == nullptr) {
      for (OptimizerStateEntry& entry : state_.optimizer) entry.value = copy(entry);
    }
    checkpoint.train_state = to_ivalue(state_);
    saver_->write(std::move(checkpoint), position());
  }
  state_.random_states.clear();
  state_.optimizer.clear();
}

// An epoch's evaluation gives the same bits on all ranks, so that all remember the same.
void Trainer::observe_evaluation() {
  const auto& value = monitor_.monitor == "test_loss" ? state_.test_loss : state_.test_accuracy;
  observe(state_.monitor, monitor_, *value, state_.step);
}

// Rank 0 decides, at an epoch's end, in the word that also travels with each step.
bool Trainer::agree_to_stop_early() {
  if (monitor_.patience == 0 || state_.batch != 0) return false;
  Decision mine;
  if (reporter_ && stops_early(state_.monitor, monitor_)) mine.add(DecisionFlag::kEarlyStop);
  losses_.assign(feeds_.size(), 0.0);
  agreement_.post(mine, losses_);
  const bool stops = agreement_.wait().decision.has(DecisionFlag::kEarlyStop);
  if (stops && reporter_) {
    reporter_->say("stops early: " + monitor_.monitor + " has not improved in " +
                   std::to_string(state_.monitor.without_improvement) + " evaluations");
  }
  return stops;
}

}  // namespace lockstep
