// What a Trainer begins with besides its own checkpoint: a file of Python's, a schedule, hashes.
#include <cstddef>
#include <stdexcept>

#include "trainer/config/option_value.h"
#include "trainer/model_state.h"
#include "trainer/trainer.h"
#include "trainer/update_options.h"

namespace lockstep {

void Trainer::make_hashes() {
  NamedTensors trained;
  for (const auto& item : model_->named_parameters()) {
    if (item.value().requires_grad()) trained.emplace_back(item.key(), item.value());
  }
  hashes_.emplace(trained, communicator_, run_dir_.hashes_file(), logical_ranks_.count());
}

// The buffers first, which the next forward pass would otherwise wait for behind all parameters.
void Trainer::overlap_param_gather() {
  const bool gathers = sharded_ != nullptr && sharded_->scatters();
  if (config_.overlap_param_gather == "on" && !gathers) {
    throw std::invalid_argument(
        "--overlap-param-gather on: no parameters are gathered here; it takes --shard-optimizer on, and "
        "ranks without shared memory whose gradients are reduce-scattered (docs/communication.md); use auto");
  }
  if (gathers && config_.overlap_param_gather != "off")
    sharded_->overlap_param_gather([this] { ddp_->sync_buffers(); });
}

// For what reads them otherwise than a forward pass does. Returns the seconds that it took.
double Trainer::wait_for_parameters() {
  if (sharded_ == nullptr) return 0.0;
  sharded_->wait_for_parameters();
  return ddp_->reducer().take_parameter_wait_s();
}

std::string Trainer::how_it_updates() const {
  const std::string ranks = std::to_string(communicator_->world_size()) + " ranks";
  if (sharded_ == nullptr) return "every rank updates all parameters (--shard-optimizer on shares that out)";
  return "the optimizer's work and memory are shared out between " + ranks +
         (sharded_->shares_memory()           ? ", in one pass over their shared memory"
          : sharded_->overlaps_param_gather() ? ", whose parameters travel under the next forward pass"
                                              : "") +
         " (--shard-optimizer off gives every rank the whole)";
}

// `interval`: what has just been done, an optimizer step or an epoch.
void Trainer::step_schedule(const char* interval) {
  if (config_.lr_interval != interval) return;
  schedule_->step();
  apply(*schedule_, *optimizer_);
}

// What a run that goes on has to have as well.
std::string Trainer::schedule_identity() const {
  return schedule_->description() + (schedule_->changes() ? ", by " + config_.lr_interval : "");
}

// As if this run had done start.step steps, with what Python does not save computed anew.
void Trainer::start_from(const TrainState& start) {
  const std::int64_t in_epoch = start.step % steps_per_epoch();
  state_.step = start.step;
  state_.epoch = start.step / steps_per_epoch();
  state_.batch = in_epoch * config_.accumulate_grad_batches;
  const std::int64_t samples_per_rank =
      state_.epoch * feeds_.front().sampler.samples_per_rank() + state_.batch * config_.batch_size;
  state_.samples_seen = logical_ranks_.world_size() * samples_per_rank;
  const std::int64_t schedule_steps = config_.lr_interval == "epoch" ? state_.epoch : state_.step;
  while (schedule_->steps() < schedule_steps) schedule_->step();
  apply(*schedule_, *optimizer_);
  optimizer_->load_state(start.optimizer);
  if (scaler_ && start.grad_scaler) scaler_->load_state(*start.grad_scaler);
  if (!start.random_states.empty()) logical_ranks_.set_random_states(start.random_states);
}

// Rank 0 tells where the run begins.
void Trainer::announce(const TrainState& start) {
  reporter_->say("starts from " + config_.init_from + " after step " + std::to_string(state_.step));
  reporter_->happened("resume", position(), "from " + config_.init_from);
  if (start.lr > 0.0 && start.lr != schedule_->lr()) {
    reporter_->warn(config_.init_from + " had learning rate " + to_text(start.lr) + ", this run has " +
                    to_text(schedule_->lr()) + " (--lr and its schedule)");
  }
}

}  // namespace lockstep
