// Trainer: the training loop of one rank. It wires the rooms together and holds the run's state.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/distributed_data_parallel.h"
#include "sampler/datasets.h"
#include "sampler/distributed_sampler.h"
#include "trainer/checkpoint/checkpoint_manager.h"
#include "trainer/config/train_config.h"
#include "trainer/device_loader.h"
#include "trainer/graph/step_graph.h"
#include "trainer/hashes/hash_recorder.h"
#include "trainer/logical_ranks.h"
#include "trainer/metrics/step_timer.h"
#include "trainer/models/model.h"
#include "trainer/optim/grad_scaler.h"
#include "trainer/optim/lr_schedule.h"
#include "trainer/optim/sharded_optimizer.h"
#include "trainer/precision.h"
#include "trainer/run_dir/exit_code.h"
#include "trainer/run_dir/heartbeat.h"
#include "trainer/run_dir/run_dir.h"
#include "trainer/run_reporter.h"
#include "trainer/saver.h"
#include "trainer/step_agreement.h"
#include "trainer/trace/step_tracer.h"
#include "trainer/train_state.h"

namespace lockstep {

// What the program has made ready for the trainer.
struct TrainerParts {
  TrainConfig config;
  CommunicatorPtr communicator;
  CommunicatorPtr batch_norm_group = {};  // with --sync-batchnorm-group-size; null: there are none
  at::Device device = at::kCPU;
  LogicalRanks logical_ranks;
  TrainAndTest data;
  std::shared_ptr<Model> model;  // on `device`; rank 0's counts, the others get it
  // Where to go on, the same on all ranks; its model is in `model` already, and it belongs to this run.
  std::optional<Checkpoint> checkpoint;
  std::optional<double> read_time_s;  // of that, on rank 0
  // Otherwise, with --init-from: the step, optimizer state, learning rate and random states that it has; its
  // weights are in `model` already.
  std::optional<TrainState> start;
  RunDir run_dir;
  int terminal_columns = 0;
  int nodes = 1;  // machines that the ranks run on
  // Records steps to replay them (--cuda-graph); null: every step is done eagerly.
  std::unique_ptr<StepRecording> recording;
};

struct MemoryFacts;

// One per process. Every rank makes one with the same configuration and calls fit() once; both are
// collective.
class Trainer {
 public:
  // Throws DataError if the checkpoint belongs to another run, std::invalid_argument for options that cannot
  // work.
  explicit Trainer(TrainerParts parts);
  ~Trainer();

  // Trains until the run is complete or all ranks have decided to stop; saves on the way. Returns kFinished
  // or kPaused. Throws DataError for a loss that is not finite (nothing is saved then), CommError when a peer
  // fails. Throws AgreedStop (kPeerFailed) when a checkpoint can no longer be written.
  ExitCode fit();
  // Optimizer steps done.
  std::int64_t step() const { return state_.step; }
  // After a pause: what the user is told, and does to go on.
  std::string pause_message() const;
  // On rank 0, why the budget ended fit().
  std::string budget_message() const { return reporter_ ? reporter_->stop_message() : ""; }

 private:
  void restore(const Checkpoint& checkpoint);
  void start_from(const TrainState& start);
  void announce(const TrainState& start);
  void save();
  void settle_before(ExitCode code);
  void make_saver(const TrainerParts& parts);
  Decision train_step_within_memory();
  MemoryFacts memory_facts(const std::exception& error);
  Decision train_step();
  // What a step's computation came to: what all ranks have agreed on, and what was read for the log.
  struct StepOutcome {
    AgreedStep agreed;
    std::optional<double> grad_norm = {};
    std::optional<double> loss_scale = {};
  };
  StepOutcome compute(std::int64_t batches, bool log, bool read_loss);
  StepOutcome eager_step(std::int64_t batches, bool log, bool read_loss);
  StepOutcome graphed_step(std::int64_t batches, bool log, bool read_loss);
  StepOutcome replayed_step(bool log, bool read_loss);
  bool prepare_replay(std::int64_t batches);
  void compute_step(const std::vector<StepInput>& inputs);
  void apply_update();
  void give_up_graph();
  void make_graph(std::unique_ptr<StepRecording> recording);
  void make_tracer();
  void make_hashes();
  TraceRecorder* trace() { return tracer_ ? tracer_->recorder() : nullptr; }  // null: nothing is recorded now
  void make_optimizer(bool captured);
  void overlap_param_gather();
  double wait_for_parameters();
  void step_schedule(const char* interval);
  std::string schedule_identity() const;
  std::string how_it_updates() const;
  bool logs_this_step() const;
  bool reads_loss(std::int64_t batches) const;
  void forward_and_backward(std::int64_t batches, bool read_loss);
  void forward_and_backward_of(std::size_t index, bool last, std::int64_t batches, bool read_loss);
  DeviceBatch take_batch(std::size_t index);
  at::Tensor loss_of(const StepInput& batch, std::int64_t batches);
  bool checks_drift() const;
  void vote();
  void require_scale(double scale);
  void report_overflow(double scale);
  void stop_for_bad_loss(int rank);
  void stop_for_bad_parameters();
  [[noreturn]] void stop_for_overflow(double scale);
  [[noreturn]] void stop_for_failure(const std::string& failure);
  void observe_evaluation();
  bool agree_to_stop_early();
  void stop_for_drift(const std::vector<double>& fingerprints);
  bool run_evaluation();
  bool finish_epoch();
  bool complete() const;
  std::int64_t batches_per_epoch() const;
  std::int64_t steps_per_epoch() const;
  std::int64_t total_steps() const;
  std::optional<std::int64_t> save_every_steps() const;
  Position position() const { return {state_.epoch, state_.batch, state_.step, state_.samples_seen}; }
  RunFacts facts() const;
  ExitCode end(ExitCode code, const std::string& reason);
  bool wants_pause() const;
  static bool asks_for_pause(Decision agreed);
  std::string pause_reason(Decision agreed) const;
  ExitCode end_for_budget();
  ExitCode end_abandoned();

  TrainConfig config_;
  CommunicatorPtr communicator_;
  CommunicatorPtr batch_norm_group_;
  at::Device device_;
  TrainAndTest data_;
  std::shared_ptr<Model> model_;
  RunDir run_dir_;
  Precision precision_;
  at::MemoryFormat memory_format_;
  LogicalRanks logical_ranks_;
  // Of each logical rank of this process.
  struct Feed {
    Feed(DistributedSampler samples, const std::shared_ptr<const Dataset>& data, DataLoaderOptions options,
         at::Device device)
        : sampler(samples), loader(data, options, device) {}
    DistributedSampler sampler;
    DeviceLoader loader;
  };
  std::deque<Feed> feeds_;
  std::optional<DistributedDataParallel<Model>> ddp_;
  std::vector<at::Tensor> parameters_;  // those that train
  std::unique_ptr<Optimizer> optimizer_;
  std::optional<LrScheduler> schedule_;
  ShardedOptimizer* sharded_ = nullptr;  // optimizer_, where it is one
  std::optional<GradScaler> scaler_;     // with --precision 16-mixed
  StepAgreement agreement_;
  std::vector<double> losses_;  // of this step, by logical rank of this process
  StepTimer timer_;
  HeartbeatPage heartbeat_ = HeartbeatPage::from_environment();
  std::optional<StepTracer> tracer_;    // with --trace
  std::optional<HashRecorder> hashes_;  // with --record-hashes
  TrainState state_;
  std::string end_reason_;
  std::optional<RunReporter> reporter_;  // rank 0
  std::optional<Saver> saver_;
  MonitorOptions monitor_;
  std::optional<std::int64_t> saved_step_;
  std::int64_t steps_here_ = 0;    // done by this object
  bool save_wanted_ = false;       // agreed on, and done after the first step whose loss is read
  bool save_now_ = false;          // after the step just done
  std::deque<DeviceBatch> taken_;  // from the loader, for the step that comes next; with step_graph_ only
  // What a captured step leaves on the device, overwritten by each replay.
  struct Captured {
    std::vector<at::Tensor> losses;    // by batch
    at::Tensor loss_scale, found_inf;  // with scaler_
    at::Tensor grad_norm;              // with --gradient-clip-val
  };
  Captured captured_;
  bool captures_update_ = false;
  std::optional<StepGraph> step_graph_;  // destroyed before the gradients and parameters that it works on
};

}  // namespace lockstep
