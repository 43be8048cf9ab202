// A Trainer's steps where each operation is queued by the host: gradients, the ranks' vote, the update.
#include <algorithm>
#include <cmath>

#include "trainer/config/option_value.h"
#include "trainer/drift.h"
#include "trainer/memory_format.h"
#include "trainer/optim/clip_grad.h"
#include "trainer/trainer.h"

namespace lockstep {
namespace {

// Gradients that overflow at this scale would overflow float16 without one; a smaller scale loses small ones
// and helps nobody.
constexpr double kLeastLossScale = 1.0;

}  // namespace

// From the gradients' reset to the update, each operation queued by the host.
Trainer::StepOutcome Trainer::eager_step(std::int64_t batches, bool log, bool read_loss) {
  optimizer_->zero_grad();
  forward_and_backward(batches, read_loss);
  timer_.begin(StepPart::kExposedCommunication);
  StepOutcome done{.agreed = agreement_.wait()};
  const AgreedStep& agreed = done.agreed;
  timer_.begin(StepPart::kOptimizer);
  if (agreed.decision.has(DecisionFlag::kFailure)) stop_for_failure(saver_->settle());
  if (agreed.decision.has(DecisionFlag::kDrift)) stop_for_drift(agreed.fingerprints);
  if (sharded_ != nullptr && (config_.gradient_clip_val > 0.0 || hashes_ || scaler_))
    sharded_->average_gradients();
  if (scaler_ && log) done.loss_scale = scaler_->state().scale;
  at::Tensor found_inf;
  if (scaler_) found_inf = scaler_->unscale(parameters_);
  const bool overflow = scaler_ && read_loss && found_inf.item<float>() != 0.0F;
  // A loss that is not finite gives such gradients, which float16 has a remedy for.
  if (agreed.decision.has(DecisionFlag::kNonFiniteLoss) && !overflow)
    stop_for_bad_loss(agreed.first_bad_rank);
  if (config_.gradient_clip_val > 0.0) {
    const at::Tensor norm = clip_grad_norm(parameters_, config_.gradient_clip_val);
    if (log) done.grad_norm = norm.item<double>();
  }
  if (hashes_) hashes_->reduced();
  const double scale = overflow ? scaler_->state().scale : 0.0;
  if (overflow) require_scale(scale);
  if (scaler_) {
    // The averaged gradients, and so the new scale, are the same on all ranks.
    optimizer_->step_unless(found_inf);
    scaler_->update(found_inf);
  } else {
    optimizer_->step();
  }
  if (overflow) report_overflow(scale);
  return done;
}

// The mean gradient of `batches` batches of each logical rank, each loss divided by their number; only the
// last backward pass communicates. The vote is posted before that one, to travel under it. Losses stay 0
// where nobody reads them.
void Trainer::forward_and_backward(std::int64_t batches, bool read_loss) {
  losses_.assign(feeds_.size(), 0.0);
  for (std::size_t index = 0; index < feeds_.size(); ++index) {
    logical_ranks_.enter(static_cast<int>(index));
    if (hashes_) hashes_->begin_rank(static_cast<int>(index));
    for (std::int64_t i = 0; i < batches; ++i)
      forward_and_backward_of(index, i + 1 == batches, batches, read_loss);
  }
}

// Of one batch out of `batches`.
at::Tensor Trainer::loss_of(const StepInput& batch, std::int64_t batches) {
  at::Tensor loss;
  {
    const AutocastGuard autocast(precision_, device_.type());
    loss = model_->loss(ddp_->forward(laid_out(batch.data, memory_format_)), batch.target);
  }
  return batches > 1 ? loss / static_cast<double>(batches) : loss;
}

// One batch of a logical rank, its last in this step or not.
void Trainer::forward_and_backward_of(std::size_t index, bool last, std::int64_t batches, bool read_loss) {
  timer_.begin(StepPart::kData);
  const DeviceBatch batch = take_batch(index);
  if (hashes_) hashes_->inputs(batch.host.data, batch.host.target);
  if (index == 0) state_.samples_seen += batch.target.size(0) * logical_ranks_.world_size();

  timer_.begin(StepPart::kForward);
  std::optional<DistributedDataParallel<Model>::NoSync> no_sync;
  if (!last) no_sync.emplace(*ddp_);
  at::Tensor loss = loss_of({batch.data, batch.target}, batches);
  Reducer& reducer = ddp_->reducer();
  timer_.add_exposed_communication(reducer.take_parameter_wait_s());
  if (read_loss) losses_[index] += loss.detach().item<double>();
  if (scaler_) loss = scaler_->scale(loss);
  const bool averages = last && index + 1 == feeds_.size();
  if (averages) vote();
  timer_.begin(StepPart::kBackward);
  loss.backward();
  const double parameter_wait_s = reducer.take_parameter_wait_s();
  timer_.add_exposed_communication(parameter_wait_s + (averages ? reducer.times().exposed_wait_s : 0.0));
  if (device_.is_cuda()) {  // which is still computing
    timer_.begin(StepPart::kData);
    feeds_[index].loader.prefetch();
  }
}

void Trainer::require_scale(double scale) {
  if (scale <= kLeastLossScale) stop_for_overflow(scale);
}

// After the scale has fallen from `scale`.
void Trainer::report_overflow(double scale) {
  if (!reporter_) return;
  reporter_->happened("overflow", position(),
                      "float16 gradients overflowed in step " + std::to_string(state_.step + 1) +
                          ", which updates nothing; the loss scale falls from " + to_text(scale) + " to " +
                          to_text(scaler_->state().scale));
}

void Trainer::vote() {
  Decision mine;
  if (wants_pause()) mine.add(DecisionFlag::kPause);
  if (reporter_ && reporter_->must_stop(state_.step + 1)) mine.add(DecisionFlag::kBudget);
  if (!std::all_of(losses_.begin(), losses_.end(), [](double loss) { return std::isfinite(loss); }))
    mine.add(DecisionFlag::kNonFiniteLoss);
  if (reporter_ && reporter_->wants_fewer_ranks()) mine.add(DecisionFlag::kFewerRanks);
  if (saver_->due()) mine.add(DecisionFlag::kSave);
  if (!saver_->failure().empty()) mine.add(DecisionFlag::kFailure);
  agreement_.post(mine, losses_, checks_drift() ? fingerprint(parameters_) : 0.0);
}

bool Trainer::checks_drift() const {
  const std::int64_t every = config_.check_drift_every_n_steps;
  return every > 0 && state_.step > 0 && state_.step % every == 0;
}

}  // namespace lockstep
