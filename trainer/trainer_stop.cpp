// When a Trainer has to stop before its run is complete, why, and how every attempt ends.
#include <c10/util/Exception.h>

#include <algorithm>

#include "comm/agreement.h"
#include "trainer/checkpoint/snapshot.h"
#include "trainer/config/option_value.h"
#include "trainer/cost/launch_moment.h"
#include "trainer/cost/ledger.h"
#include "trainer/drift.h"
#include "trainer/out_of_memory.h"
#include "trainer/recompute/checkpointed_block.h"
#include "trainer/signals.h"
#include "trainer/start_up.h"
#include "trainer/trainer.h"

namespace lockstep {

bool Trainer::wants_pause() const {
  return pause_requested() || (reporter_ && reporter_->is_off_peak_over());
}

bool Trainer::asks_for_pause(Decision agreed) {
  return agreed.has(DecisionFlag::kPause) || agreed.has(DecisionFlag::kFewerRanks);
}

// For the launcher, which goes on with fewer ranks, or waits until the off-peak hours begin again; but not
// for a user who has asked.
std::string Trainer::pause_reason(Decision agreed) const {
  if (agreed.has(DecisionFlag::kFewerRanks) && !agreed.has(DecisionFlag::kPause)) return kFewerRanks;
  return !pause_requested() && reporter_ && reporter_->is_off_peak_over() ? "off_peak" : "paused";
}

// `lockstep train` goes on by itself after two kinds of pauses (launch/train_bill.cpp).
std::string Trainer::pause_message() const {
  const std::string paused = "paused after step " + std::to_string(state_.step);
  const bool is_launched = told_launch_moment().has_value();
  if (is_launched && end_reason_ == kFewerRanks) return paused + ", to go on with fewer ranks";
  if (is_launched && end_reason_ == "off_peak") return paused + ", to go on in the next off-peak hours";
  return paused + (config_.fresh ? ": run the same command without --fresh to go on"
                                 : ": run the same command again to go on");
}

// All ranks have agreed on it, and the run is saved.
ExitCode Trainer::end_for_budget() {
  return end(ExitCode::kBudget, reporter_ ? reporter_->stop_reason() : "");
}

// Of a step that has failed with `error`, and whose own tensors are gone.
MemoryFacts Trainer::memory_facts(const std::exception& error) {
  std::vector<at::Tensor> weights = model_->parameters();
  for (const at::Tensor& buffer : model_->buffers()) weights.push_back(buffer);
  MemoryFacts facts{.where = "step " + std::to_string(state_.step + 1),
                    .device = device_.str(),
                    .asked_for = size_asked_for(error),
                    .held = {total_bytes(weights), total_bytes(parameters_), {}},
                    .has_blocks = has_blocks(*model_),
                    .has_tokens = data_.train->shape().sequence_length > 0,
                    .ranks = communicator_->world_size()};
  double optimizer_to_come = optimizer_bytes(config_, total_bytes(parameters_));
  if (sharded_ == nullptr) {  // another one would ask the other ranks
    std::vector<at::Tensor> state;
    for (const OptimizerStateEntry& entry : optimizer_->state()) state.push_back(entry.value);
    facts.held.optimizer = total_bytes(state);
    optimizer_to_come -= *facts.held.optimizer;
  } else {
    optimizer_to_come = state_.step == 0 ? optimizer_to_come / communicator_->world_size() : 0.0;
  }
  const auto failed = take_failed_allocation();
  const bool is_the_allocators = dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr;
  if (!failed || !is_the_allocators || step_graph_) return facts;  // a graph's memory serves nothing else
  facts.shortage = {.at = *failed,
                    .kept = allocated_device_bytes(device_),
                    .optimizer_to_come = std::max(0.0, optimizer_to_come),
                    .whole_forward = timer_.part() > StepPart::kForward || steps_here_ > 1};
  return facts;
}

// Memory may run out on this rank alone, in the middle of what the others wait for.
Decision Trainer::train_step_within_memory() {
  try {
    return train_step();
  } catch (const std::exception& error) {
    if (!is_out_of_memory(error)) throw;
    throw LoneStop(ExitCode::kPeerFailed, out_of_memory_advice(config_, memory_facts(error)));
  }
}

// After an evaluation that was abandoned: only rank 0 knows whether the budget was why.
ExitCode Trainer::end_abandoned() {
  const char* why = reporter_ && reporter_->is_at_mark() ? "budget" : "pause";
  return broadcast_text(why, 0, *communicator_) == "budget" ? end_for_budget()
                                                            : end(ExitCode::kPaused, pause_reason({}));
}

void Trainer::stop_for_bad_loss(int rank) {
  const std::string where = "step " + std::to_string(state_.step + 1) + ", rank " + std::to_string(rank);
  if (reporter_) reporter_->happened("stop", position(), "the loss is not finite at " + where);
  end(ExitCode::kBadInput, "non_finite_loss");
  throw AgreedStop(ExitCode::kBadInput,
                   "the loss is not finite at " + where +
                       "; lower --lr, or look at the data; the last checkpoint is untouched");
}

// Parameters are equal on all ranks, so all of them come to the same result.
void Trainer::stop_for_bad_parameters() {
  for (const auto& item : model_->named_parameters()) {
    if (all_finite(item.value())) continue;
    end(ExitCode::kBadInput, "non_finite_parameter");
    throw AgreedStop(ExitCode::kBadInput,
                     "parameter " + item.key() + " is not finite after step " + std::to_string(state_.step) +
                         "; lower --lr, or look at the data; the last checkpoint is untouched");
  }
}

// Averaged gradients are equal on all ranks.
void Trainer::stop_for_overflow(double scale) {
  std::string name = "of no parameter";
  for (const auto& item : model_->named_parameters()) {
    if (!item.value().grad().defined() || all_finite(item.value().grad())) continue;
    name = "of parameter " + item.key();
    break;
  }
  const std::string what = "the float16 gradient " + name + " is not finite at step " +
                           std::to_string(state_.step + 1) + " even with a loss scale of " + to_text(scale);
  if (reporter_) reporter_->happened("stop", position(), what);
  end(ExitCode::kBadInput, "overflow");
  throw AgreedStop(ExitCode::kBadInput,
                   what +
                       "; lower --lr, look at the data, or use --precision bf16-mixed; the last "
                       "checkpoint is untouched");
}

void Trainer::stop_for_drift(const std::vector<double>& fingerprints) {
  const std::string what = "the parameters after step " + std::to_string(state_.step) +
                           " are not equal on all ranks: " + describe_drift(fingerprints);
  if (reporter_) reporter_->happened("drift", position(), what);
  end(ExitCode::kPeerFailed, "drift");
  throw AgreedStop(ExitCode::kPeerFailed,
                   what + "; look at that machine's memory and GPU; a checkpoint of the last " +
                       std::to_string(config_.check_drift_every_n_steps) +
                       " steps (--check-drift-every-n-steps) is rank 0's");
}

// All ranks, with the same text.
void Trainer::stop_for_failure(const std::string& failure) {
  if (reporter_) {
    const auto saved = saver_->last_complete();
    reporter_->finished("failed", static_cast<int>(ExitCode::kPeerFailed), position(), state_.train_loss,
                        state_.test_loss, state_.test_accuracy,
                        saved ? run_dir_.checkpoint(*saved).string() : "");
  }
  throw AgreedStop(ExitCode::kPeerFailed, failure);
}

// Waits until the last checkpoint is on the disk; a run that could not save has not ended in good order.
void Trainer::settle_before(ExitCode code) {
  const BillSpan bill(reporter_, RunPart::kCheckpoint);
  const std::string failure = saver_->settle();
  const bool in_good_order =
      code == ExitCode::kFinished || code == ExitCode::kPaused || code == ExitCode::kBudget;
  if (!failure.empty() && in_good_order) stop_for_failure(failure);
}

ExitCode Trainer::end(ExitCode code, const std::string& reason) {
  end_reason_ = reason;
  heartbeat_.beat(RankPhase::kEnding, state_.step);
  if (tracer_) tracer_->finish();
  settle_before(code);
  communicator_->barrier();  // nobody leaves before the last save is done
  if (reporter_) {
    const auto saved = saver_->last_complete();
    const std::string checkpoint = saved ? run_dir_.checkpoint(*saved).string() : "";
    reporter_->finished(reason, static_cast<int>(code), position(), state_.train_loss, state_.test_loss,
                        state_.test_accuracy, checkpoint);
  }
  return code;
}

}  // namespace lockstep
