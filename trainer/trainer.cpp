#include "trainer/trainer.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <stdexcept>
#include <utility>

#include "sampler/ceil_div.h"
#include "sampler/data_error.h"
#include "trainer/evaluation.h"
#include "trainer/memory_format.h"
#include "trainer/model_state.h"
#include "trainer/random_state.h"
#include "trainer/run_identity.h"
#include "trainer/sync_debug.h"
#include "trainer/update_options.h"

namespace lockstep {
namespace {

constexpr std::int64_t kFirstSteadyStep = 8;

}  // namespace

Trainer::Trainer(TrainerParts parts)
    : config_(std::move(parts.config)),
      communicator_(std::move(parts.communicator)),
      batch_norm_group_(std::move(parts.batch_norm_group)),
      device_(parts.device),
      data_(std::move(parts.data)),
      model_(std::move(parts.model)),
      run_dir_(std::move(parts.run_dir)),
      precision_(parse_precision(config_.precision)),
      memory_format_(parse_memory_format(config_.memory_format)),
      logical_ranks_(parts.logical_ranks),
      agreement_(communicator_, logical_ranks_.world_size(), logical_ranks_.first()) {
  for (int index = 0; index < logical_ranks_.count(); ++index) {
    feeds_.emplace_back(
        DistributedSampler(
            data_.train->size(), logical_ranks_.world_size(), logical_ranks_.first() + index,
            {.shuffle = config_.shuffle, .seed = config_.seed, .drop_last = config_.drop_last}),
        data_.train,
        DataLoaderOptions{.batch_size = config_.batch_size,
                          .num_workers = config_.num_workers,
                          .pin_memory = device_.is_cuda()},
        device_);
  }
  for (const at::Tensor& parameter : model_->parameters()) {
    if (parameter.requires_grad()) parameters_.push_back(parameter);
  }
  schedule_ = make_lr_scheduler(config_, config_.lr_interval == "epoch" ? config_.max_epochs : total_steps());
  state_.identity = run_identity(config_, logical_ranks_.world_size(), *data_.train);
  state_.circumstances = circumstances(config_);
  DdpOptions ddp_options;
  ddp_options.reducer.bucket_cap_bytes = static_cast<std::int64_t>(config_.bucket_cap_mb * 1024 * 1024);
  ddp_options.reducer.first_bucket_cap_bytes =
      std::min(ddp_options.reducer.first_bucket_cap_bytes, ddp_options.reducer.bucket_cap_bytes);
  ddp_options.reducer.choose_bucket_caps = config_.bucket_cap == "auto";
  if (config_.logical_world_size > 0) ddp_options.reducer.logical_ranks = logical_ranks_.count();
  ddp_options.reducer.hook = create_communication_hook(config_.comm_hook);
  ddp_.emplace(model_, communicator_, ddp_options);
  make_optimizer(parts.recording != nullptr);
  if (precision_ == Precision::k16Mixed) {
    scaler_.emplace(GradScalerOptions{.init_scale = config_.grad_scaler_init_scale,
                                      .growth_interval = config_.grad_scaler_growth_interval},
                    device_);
  }
  // From here on ranks draw different numbers (dropout): rank r as after torch.manual_seed(seed + r).
  logical_ranks_.seed(config_.seed);
  if (parts.checkpoint) restore(*parts.checkpoint);
  if (parts.start) start_from(*parts.start);
  make_saver(parts);
  if (parts.recording) make_graph(std::move(parts.recording));
  if (reporter_) {
    if (!model_->adaptation().empty())
      reporter_->say(config_.model + " adapted to the data: " + model_->adaptation());
    if (communicator_->world_size() > 1) reporter_->say(how_it_updates());
    if (parts.checkpoint) {
      reporter_->say("continues after step " + std::to_string(state_.step) + " (epoch " +
                     std::to_string(state_.epoch + 1) + ", batch " + std::to_string(state_.batch) + " of " +
                     std::to_string(batches_per_epoch()) + ")");
      reporter_->happened("resume", position(), "from " + run_dir_.checkpoint(state_.step).string(),
                          std::nullopt, std::nullopt, parts.read_time_s);
    }
    if (parts.start) announce(*parts.start);
  }
  if (parts.checkpoint) saved_step_ = state_.step;
  if (config_.trace) make_tracer();
  if (config_.record_hashes) make_hashes();
}

Trainer::~Trainer() {
  if (ddp_) ddp_->reducer().set_trace(nullptr);  // the tracer goes before those who wait for parameters
}

void Trainer::make_tracer() {
  const std::int64_t warm_up = trace_warm_up(total_steps() - state_.step, config_.trace_steps);
  StepTracerOptions options{.first_step = state_.step + 1 + warm_up, .steps = config_.trace_steps};
  if (device_.is_cuda()) options.device_moments = cuda_moments(device_);
  options.group = batch_norm_group_;
  if (reporter_) {
    options.file = run_dir_.trace_file();
    options.say = [this](const std::string& line) { reporter_->say(line); };
    options.warn = [this](const std::string& line) { reporter_->warn(line); };
  }
  tracer_.emplace(std::move(options), communicator_, timer_);
}

// Sharing the update out costs nothing where ranks share memory, and saves most of its work and memory.
// Elsewhere the parameters have to travel once more, so it has to be asked for.
void Trainer::make_optimizer(bool captured) {
  OptimizerOptions options = optimizer_options(config_, *schedule_);
  // A GPU's is rounded to float32, so that a rate that never changes is better left what it is. Steps that
  // are done eagerly because they cannot be captured have the bits of those that are.
  options.lr_on_device =
      schedule_->changes() && (captured || (device_.is_cuda() && config_.cuda_graph != "off"));
  const bool pays = ddp_->reducer().shares_memory() && communicator_->world_size() > 1 &&
                    !(options.fused && device_.is_cpu());
  if (config_.shard_optimizer == "on" || (config_.shard_optimizer == "auto" && pays)) {
    auto sharded = std::make_unique<ShardedOptimizer>(config_.optimizer, parameters_, options,
                                                      ddp_->reducer(), communicator_);
    sharded_ = sharded.get();
    optimizer_ = std::move(sharded);
  } else {
    optimizer_ = create_optimizer(config_.optimizer, parameters_, options);
  }
  overlap_param_gather();
}

void Trainer::restore(const Checkpoint& checkpoint) {
  TrainState saved = train_state_from(checkpoint.train_state);
  check_identity({{"learning-rate schedule", saved.schedule}},
                 {{"learning-rate schedule", schedule_identity()}});
  logical_ranks_.set_random_states(saved.random_states);
  try {
    ddp_->reducer().load_history(saved.buckets);
  } catch (const std::invalid_argument& error) {
    throw DataError(std::string("checkpoint: ") + error.what());
  }
  optimizer_->load_state(saved.optimizer);
  if (scaler_ && saved.grad_scaler) scaler_->load_state(*saved.grad_scaler);
  // A learning rate that is constant may be changed on the way.
  schedule_->resume(saved.schedule_steps, schedule_->changes() ? saved.lr : config_.lr);
  apply(*schedule_, *optimizer_);
  saved.circumstances = circumstances(config_);
  state_ = std::move(saved);
  state_.random_states.clear();
  state_.optimizer.clear();
}

std::int64_t Trainer::batches_per_epoch() const {
  return ceil_div(feeds_.front().sampler.samples_per_rank(), config_.batch_size);
}
std::int64_t Trainer::steps_per_epoch() const {
  return ceil_div(batches_per_epoch(), config_.accumulate_grad_batches);
}

std::int64_t Trainer::total_steps() const {
  std::int64_t by_epochs = 0;
  if (__builtin_mul_overflow(config_.max_epochs, steps_per_epoch(), &by_epochs)) {
    by_epochs = std::numeric_limits<std::int64_t>::max();
  }
  return config_.max_steps >= 0 ? std::min(config_.max_steps, by_epochs) : by_epochs;
}

bool Trainer::complete() const {
  return state_.step >= total_steps();
}

RunFacts Trainer::facts() const {
  RunFacts facts;
  facts.config = config_;
  StartRecord& start = facts.start;
  start.world_size = communicator_->world_size();
  start.logical_world_size = logical_ranks_.world_size();
  start.device = device_.is_cuda() ? "cuda" : "cpu";
  start.backend = communicator_->backend();
  start.precision = config_.precision;
  start.reduction_order = config_.reduction_order;
  start.num_threads = at::get_num_threads();
  start.model = config_.model;
  for (const at::Tensor& parameter : model_->parameters()) start.num_parameters += parameter.numel();
  start.data = config_.data;
  start.train_samples = data_.train->size();
  start.test_samples = data_.test->size();
  start.optimizer = config_.optimizer;
  start.lr = config_.lr;
  start.batch_size = config_.batch_size;
  start.accumulate_grad_batches = config_.accumulate_grad_batches;
  start.max_epochs = config_.max_epochs;
  start.max_steps = config_.max_steps;
  start.seed = config_.seed;
  start.step = state_.step;
  facts.data = data_.train->description();
  facts.batches_per_epoch = batches_per_epoch();
  facts.total_steps = total_steps();
  const DatasetShape shape = data_.train->shape();
  if (shape.vocabulary_size > 0) facts.tokens_per_sample = shape.sample_sizes.front();
  return facts;
}

ExitCode Trainer::fit() {
  if (complete() || stops_early(state_.monitor, monitor_)) {
    if (reporter_) reporter_->say("this run is complete: nothing is left to do");
    // What a run that ends in mid-epoch does last is not in its checkpoint, nor is an evaluation that was
    // abandoned.
    if (state_.batch != 0 && !finish_epoch()) return end_abandoned();
  }
  bool stops = stops_early(state_.monitor, monitor_);
  while (!complete() && !stops) {
    for (int index = 0; index < logical_ranks_.count(); ++index) {
      Feed& feed = feeds_[static_cast<std::size_t>(index)];
      logical_ranks_.enter(index);
      if (state_.batch == 0) draw_data_loader_seed();
      feed.loader.start_epoch(feed.sampler.indices(state_.epoch), state_.batch);
    }
    while (state_.batch < batches_per_epoch() && !complete()) {
      const Decision agreed = train_step_within_memory();
      // A run that is complete has nothing to pause; but its evaluation may be more than the budget has left.
      const bool over_budget = agreed.has(DecisionFlag::kBudget);
      const bool pause = over_budget || (asks_for_pause(agreed) && !complete());
      const auto every = save_every_steps();
      const bool epoch_ends = state_.batch >= batches_per_epoch();
      const bool due = save_now_ || (every && state_.step % *every == 0);
      if (pause || (due && !epoch_ends)) save();
      saver_->poll();
      if (over_budget) return end_for_budget();
      if (pause) return end(ExitCode::kPaused, pause_reason(agreed));
    }
    if (!finish_epoch()) return end_abandoned();
    stops = agree_to_stop_early();
  }
  return end(ExitCode::kFinished, stops ? "early_stopped" : "finished");
}

// An epoch's end is a place to go on from: evaluated, counted and saved. A run that max_steps ends in
// mid-epoch saves before it evaluates, so that going on with more steps draws the numbers that it would have
// drawn anyway. False: a pause was asked for, or the budget reached, while it evaluated; what is saved is
// from before that, so that the evaluation is done anew.
bool Trainer::finish_epoch() {
  if (state_.batch < batches_per_epoch()) {
    save();
    return run_evaluation();
  }
  if (!run_evaluation()) {
    save();
    return false;
  }
  observe_evaluation();
  step_schedule("epoch");
  ++state_.epoch;
  state_.batch = 0;
  save();
  return true;
}

bool Trainer::logs_this_step() const {
  return (state_.step + 1) % config_.log_every_n_steps == 0 || state_.step + 1 == total_steps();
}

// On a GPU reading the loss stops the host. It is read in the steps that are logged, and before each save: a
// model that has become NaN must not take the place of a good checkpoint.
bool Trainer::reads_loss(std::int64_t batches) const {
  const auto every = save_every_steps();
  const bool saves =
      state_.batch + batches >= batches_per_epoch() || (every && (state_.step + 1) % *every == 0);
  return device_.is_cpu() || logs_this_step() || saves || save_wanted_;
}

Trainer::StepOutcome Trainer::compute(std::int64_t batches, bool log, bool read_loss) {
  // The first steps choose kernels, take memory and rebuild the buckets.
  const bool is_steady = steps_here_++ >= kFirstSteadyStep && !read_loss && !checks_drift();
  const SyncDebugGuard looks_for_waits(is_steady ? config_.cuda_sync_debug_mode : "default");
  return step_graph_ ? graphed_step(batches, log, read_loss) : eager_step(batches, log, read_loss);
}

// Returns what all ranks have agreed on.
Decision Trainer::train_step() {
  heartbeat_.beat(RankPhase::kTraining, state_.step);
  if (tracer_) {
    tracer_->begin_step(state_.step + 1);
    ddp_->reducer().set_trace(trace());
  }
  timer_.begin_step();
  if (hashes_) hashes_->begin_step();
  const std::int64_t batches = std::min(config_.accumulate_grad_batches, batches_per_epoch() - state_.batch);
  const bool log = logs_this_step();
  const bool read_loss = reads_loss(batches);
  const std::int64_t samples_before = state_.samples_seen;
  const StepOutcome done = compute(batches, log, read_loss);
  const AgreedStep& agreed = done.agreed;
  if (sharded_ != nullptr) timer_.add_exposed_communication(sharded_->exposed_wait_s());
  timer_.begin(StepPart::kOther);
  ++state_.step;
  state_.batch += batches;
  if (hashes_) {
    ddp_->sync_buffers();  // logical rank 0's, as the next step will find them
    timer_.add_exposed_communication(wait_for_parameters());
    hashes_->end_step(state_.step, model_state(*model_));
  }
  const double lr = optimizer_->lr();
  step_schedule("step");
  if (read_loss) state_.train_loss = agreed.mean_loss;
  save_wanted_ = save_wanted_ || agreed.decision.has(DecisionFlag::kSave);
  save_now_ = save_wanted_ && read_loss;
  const StepTimes times = timer_.end_step();
  if (tracer_) tracer_->end_step();
  if (reporter_) {
    reporter_->stepped({.at = position(),
                        .samples = state_.samples_seen - samples_before,
                        .loss = read_loss ? std::optional(agreed.mean_loss) : std::nullopt,
                        .times = times,
                        .log = log,
                        .lr = lr,
                        .grad_norm = done.grad_norm,
                        .loss_scale = done.loss_scale,
                        .bytes_sent = communicator_->bytes_sent() +
                                      (batch_norm_group_ ? batch_norm_group_->bytes_sent() : 0)});
    if (const auto remark = ddp_->reducer().take_remark()) reporter_->say(*remark);
  }
  return agreed.decision;
}

// Returns false if all ranks have agreed to abandon it, for a pause or for the budget; nothing has been drawn
// then.
bool Trainer::run_evaluation() {
  const auto begin = std::chrono::steady_clock::now();
  const TraceSpan span(trace(), "run", "evaluation");
  const BillSpan bill(reporter_, RunPart::kEvaluation);
  const auto asks_to_stop = [this] {
    heartbeat_.beat(RankPhase::kEvaluating, state_.step);
    return wants_pause() || (reporter_ && reporter_->is_at_mark());
  };
  asks_to_stop();
  const std::vector<at::Tensor> random_states = logical_ranks_.own_random_states();
  ddp_->sync_buffers();
  wait_for_parameters();
  const Evaluation result = evaluate(*model_, data_.test, *communicator_, logical_ranks_,
                                     {.batch_size = config_.eval_batch_size,
                                      .num_workers = config_.num_workers,
                                      .precision = precision_,
                                      .device = device_,
                                      .memory_format = memory_format_,
                                      .wants_to_stop = asks_to_stop});
  if (result.abandoned) {
    logical_ranks_.set_own_random_states(random_states);
    return false;
  }
  state_.test_loss = result.loss;
  state_.test_accuracy = result.accuracy;
  if (!reporter_) return true;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  reporter_->evaluated(position(), result.loss, result.accuracy, result.samples, seconds);
  return true;
}

}  // namespace lockstep
