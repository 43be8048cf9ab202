// A Trainer's steps where they are captured in a CUDA graph: what is recorded, what the host does around a
// replay, and when a step is done eagerly after all.
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "trainer/optim/clip_grad.h"
#include "trainer/start_up.h"
#include "trainer/trainer.h"
#include "trainer/update_options.h"

namespace lockstep {

// The update is captured where all that changes from step to step is on the device. Elsewhere it follows each
// replay, queued by the host: a few kernels more to launch.
void Trainer::make_graph(std::unique_ptr<StepRecording> recording) {
  if (logical_ranks_.count() > 1) {
    throw std::invalid_argument("a step of several logical ranks in one process cannot be captured; start " +
                                std::to_string(logical_ranks_.world_size()) +
                                " ranks, or use --cuda-graph off");
  }
  step_graph_.emplace(std::move(recording), communicator_);
  const bool fused = optimizer_options(config_).fused;
  const bool momentum_moves = schedule_->momentum().has_value();
  captures_update_ = fused && !momentum_moves && sharded_ == nullptr;
  if (!reporter_) return;
  const std::string update = captures_update_ ? "from gradients to update"
                             : momentum_moves ? "all but the update, whose momentum moves (--cycle-momentum)"
                                              : "all but the update, which is not fused";
  reporter_->say("steps are captured in a CUDA graph and replayed, " + update);
}

// The batch that is next, which a step that is not replayed after all may have taken already.
DeviceBatch Trainer::take_batch(std::size_t index) {
  if (!taken_.empty()) {
    DeviceBatch batch = std::move(taken_.front());
    taken_.pop_front();
    return batch;
  }
  auto batch = feeds_[index].loader.next();
  if (!batch) throw std::logic_error("the data loader ended before the epoch did");
  return *std::move(batch);
}

Trainer::StepOutcome Trainer::graphed_step(std::int64_t batches, bool log, bool read_loss) {
  if (checks_drift() || !step_graph_->problem().empty() || !prepare_replay(batches))
    return eager_step(batches, log, read_loss);
  return replayed_step(log, read_loss);
}

// Takes the step's batches. The first full step that finds everything settled is captured.
bool Trainer::prepare_replay(std::int64_t batches) {
  timer_.begin(StepPart::kData);
  std::deque<DeviceBatch> taken;
  for (std::int64_t i = 0; i < batches; ++i) taken.push_back(take_batch(0));
  taken_ = std::move(taken);
  timer_.begin(StepPart::kOther);
  std::vector<StepInput> inputs;
  bool settled = batches == config_.accumulate_grad_batches && ddp_->reducer().is_settled() &&
                 (!captures_update_ || optimizer_->is_repeatable());
  for (const DeviceBatch& batch : taken_) {
    inputs.push_back({batch.data, batch.target});
    settled = settled && batch.target.size(0) == config_.batch_size;
  }
  const bool was_captured = step_graph_->is_captured();
  if (!was_captured && settled) ddp_->expect_replay();  // for the broadcast of buffers to be captured, too
  const bool replays = step_graph_->prepare(
      inputs, settled, [this](const std::vector<StepInput>& recorded) { compute_step(recorded); });
  if (!step_graph_->problem().empty()) give_up_graph();
  if (!was_captured && replays && reporter_)
    reporter_->happened("captured", position(), "from step " + std::to_string(state_.step + 1) + " on");
  return replays;
}

// All ranks come here together. Nothing has been computed, and nothing drawn.
void Trainer::give_up_graph() {
  captured_ = {};
  ddp_->reducer().forget_pass();
  ddp_->expect_replay();  // the buffers that were recorded have gone nowhere
  const std::string why = "the step cannot be captured in a CUDA graph (" + step_graph_->problem() + ")";
  if (config_.cuda_graph == "on") {
    end(ExitCode::kUsage, "not_captured");
    throw AgreedStop(ExitCode::kUsage, "--cuda-graph on: " + why + "; use auto, or off");
  }
  if (!reporter_) return;
  reporter_->happened("not_captured", position(), step_graph_->problem());
  reporter_->warn(why + ": its operations are queued one by one, as with --cuda-graph off");
}

// From the gradients' reset to the update, on the device alone. What is recorded of it holds addresses:
// gradients lie in their buckets, and parameters, buffers and optimizer state are changed in place.
void Trainer::compute_step(const std::vector<StepInput>& inputs) {
  captured_ = {};
  optimizer_->zero_grad();
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::optional<DistributedDataParallel<Model>::NoSync> no_sync;
    if (i + 1 < inputs.size()) no_sync.emplace(*ddp_);
    at::Tensor loss = loss_of(inputs[i], static_cast<std::int64_t>(inputs.size()));
    captured_.losses.push_back(loss.detach());
    if (scaler_) loss = scaler_->scale(loss);
    loss.backward();
  }
  if (scaler_) {
    captured_.loss_scale =
        scaler_->scale(at::ones({}, at::TensorOptions().dtype(at::kFloat).device(device_)));
    captured_.found_inf = scaler_->unscale(parameters_);
  }
  if (config_.gradient_clip_val > 0.0)
    captured_.grad_norm = clip_grad_norm(parameters_, config_.gradient_clip_val);
  if (captures_update_) apply_update();
}

void Trainer::apply_update() {
  if (!scaler_) return optimizer_->step();
  optimizer_->step_unless(captured_.found_inf);
  scaler_->update(captured_.found_inf);
}

// Where the loss is read the vote carries it, and waits for the replay; elsewhere it travels beneath. Where
// the update is captured, a step whose loss is not finite has changed the parameters before anybody knows:
// the run ends all the same, and nothing of them is saved.
Trainer::StepOutcome Trainer::replayed_step(bool log, bool read_loss) {
  for (const DeviceBatch& batch : taken_)
    state_.samples_seen += batch.target.size(0) * logical_ranks_.world_size();
  losses_.assign(feeds_.size(), 0.0);
  if (!read_loss) vote();
  step_graph_->replay(state_.step + 1);
  taken_.clear();
  ddp_->expect_replay();
  timer_.begin(StepPart::kData);
  feeds_.front().loader.prefetch();
  timer_.begin(StepPart::kOther);
  if (read_loss) {
    const at::Tensor losses = at::stack(captured_.losses).cpu();
    step_graph_->check_peers();
    for (std::int64_t i = 0; i < losses.size(0); ++i) losses_.front() += losses[i].item<double>();
    vote();
  }
  timer_.begin(StepPart::kExposedCommunication);
  StepOutcome done{.agreed = agreement_.wait()};
  timer_.begin(StepPart::kOptimizer);
  if (done.agreed.decision.has(DecisionFlag::kFailure)) stop_for_failure(saver_->settle());
  const bool overflow = scaler_ && read_loss && captured_.found_inf.item<float>() != 0.0F;
  if (done.agreed.decision.has(DecisionFlag::kNonFiniteLoss) && !overflow)
    stop_for_bad_loss(done.agreed.first_bad_rank);
  const double scale = scaler_ && (log || overflow) ? captured_.loss_scale.item<double>() : 0.0;
  if (overflow) require_scale(scale);
  if (scaler_ && log) done.loss_scale = scale;
  if (captured_.grad_norm.defined() && log) done.grad_norm = captured_.grad_norm.item<double>();
  if (!captures_update_) apply_update();
  if (overflow) report_overflow(scale);
  return done;
}

}  // namespace lockstep
