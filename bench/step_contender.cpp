#include "bench/step_contender.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>

#include "bench/config/text_values.h"
#include "bench/peers/c10d_step.h"
#include "bench/peers/pytorch_twin.h"
#include "bench/report/step_report.h"
#include "bench/stand_in.h"
#include "bench/step_recorder.h"
#include "bench/training_step.h"
#include "comm/communication_hook.h"
#include "comm/distributed_data_parallel.h"
#include "trainer/graph/step_graph.h"
#include "trainer/metrics/number_format.h"
#include "trainer/optim/sharded_optimizer.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// A contender in this program: steps one after the other, timed together.
class InProcess : public StepContender {
 public:
  explicit InProcess(const BenchWorld& world) : world_(world) {}
  std::vector<double> take_turn(int settle_steps, int steps) final {
    for (int i = 0; i < settle_steps; ++i) step();
    world_.wait_for_device();
    settled();
    const auto begin = Clock::now();
    for (int i = 0; i < steps; ++i) step();
    finish_steps();
    world_.wait_for_device();
    return {std::chrono::duration<double>(Clock::now() - begin).count()};
  }

 protected:
  virtual void step() = 0;
  // Waits for what the last step has left on its way.
  virtual void finish_steps() {}
  // The ranks meet before the timed steps.
  virtual void settled() = 0;

  const BenchWorld& world_;
};

class Local final : public InProcess {
 public:
  Local(const Workload& workload, const BenchWorld& world, const StepPlace& place)
      : InProcess(world), communicator_(world.communicator()), training_(workload, world.rank(), place) {}
  std::string name() const override { return kLocal; }

 protected:
  void step() override {
    training_.backward([this](const at::Tensor& data) { return training_.model->forward(data); });
    training_.optimizer->step();
    // The host runs ahead of a GPU, which a barrier would not let it.
    if (world_.device().is_cpu()) communicator_->barrier();
  }
  void settled() override { communicator_->barrier(); }

 private:
  CommunicatorPtr communicator_;
  TrainingStep training_;
};

// Rank 0's local step, while the others wait: what one rank has of the machine for itself.
class Alone final : public StepContender {
 public:
  Alone(const Workload& workload, const BenchWorld& world, const StepPlace& place)
      : world_(world),
        communicator_(world.communicator()),
        works_(world.rank() == 0),
        training_(workload, world.rank(), place) {}
  std::string name() const override { return kAlone; }
  std::vector<double> take_turn(int settle_steps, int steps) override {
    communicator_->barrier();
    double seconds = 0;
    if (works_) {
      for (int i = 0; i < settle_steps; ++i) step();
      world_.wait_for_device();
      const auto begin = Clock::now();
      for (int i = 0; i < steps; ++i) step();
      world_.wait_for_device();
      seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    }
    communicator_->barrier();
    return {seconds};
  }

 private:
  void step() {
    training_.backward([this](const at::Tensor& data) { return training_.model->forward(data); });
    training_.optimizer->step();
  }

  const BenchWorld& world_;
  CommunicatorPtr communicator_;
  bool works_;
  TrainingStep training_;
};

DdpOptions ddp_options(const std::string& compress) {
  DdpOptions options;
  options.reducer.hook = create_communication_hook(compress);
  return options;
}

std::int64_t gradient_bytes(const Model& model) {
  std::int64_t bytes = 0;
  for (const at::Tensor& parameter : model.parameters())
    bytes += static_cast<std::int64_t>(parameter.nbytes());
  return bytes;
}

// DistributedDataParallel, with an optimizer on every rank or with the sharded one, whose parameters come in
// the next forward pass or in the step.
class Parallel final : public InProcess {
 public:
  Parallel(const Workload& workload, const BenchWorld& world, const StepPlace& place,
           const std::string& compress, const char* name)
      : InProcess(world),
        name_(name),
        communicator_(world.communicator()),
        training_(workload, world.rank(), place),
        ddp_(training_.model, communicator_, ddp_options(compress)),
        recorder_(ddp_.reducer(), gradient_bytes(*training_.model)) {
    if (name_ == kAveraged) return;
    auto sharded = std::make_unique<ShardedOptimizer>("sgd", training_.model->parameters(),
                                                      TrainingStep::optimizer_options(place.device),
                                                      ddp_.reducer(), communicator_);
    sharded_ = sharded.get();
    if (name_ == kSharded) sharded->overlap_param_gather([this] { ddp_.sync_buffers(); });
    training_.optimizer = std::move(sharded);
  }
  // The reducer has to outlive the optimizer.
  ~Parallel() override { training_.optimizer.reset(); }
  std::string name() const override { return name_; }
  // Of the sharded update the parts mean other things: its communication is the optimizer's. On a GPU they
  // are the host's, which runs ahead.
  std::optional<StepTimeline> timeline() const override {
    return name_ == kAveraged && world_.device().is_cpu() ? recorder_.median() : std::nullopt;
  }

 protected:
  void step() override {
    recorder_.begin_step();
    const at::Tensor loss = training_.loss([this](const at::Tensor& data) { return ddp_.forward(data); });
    recorder_.end_forward();
    loss.backward();
    recorder_.end_backward();
    training_.optimizer->step();
    recorder_.end_step();
  }
  void finish_steps() override {
    if (sharded_ != nullptr) sharded_->wait_for_parameters();
  }
  void settled() override { communicator_->barrier(); }

 private:
  std::string name_;
  CommunicatorPtr communicator_;
  TrainingStep training_;
  DistributedDataParallel<Model> ddp_;
  StepRecorder recorder_;
  ShardedOptimizer* sharded_ = nullptr;  // training_'s, where it is one
};

// The averaged step with its update, captured in a CUDA graph and replayed, inputs copied each time as in
// training.
class Captured final : public InProcess {
 public:
  Captured(const Workload& workload, const BenchWorld& world, const StepPlace& place,
           const std::string& compress)
      : InProcess(world),
        communicator_(world.communicator()),
        training_(workload, world.rank(), place),
        batch_{{training_.data, training_.target}},
        ddp_(training_.model, communicator_, ddp_options(compress)),
        graph_(create_cuda_recording(place.device), communicator_) {}
  std::string name() const override { return kCaptured; }

 protected:
  void step() override {
    ddp_.expect_replay();
    const bool replays =
        graph_.prepare(batch_, ddp_.reducer().is_settled(), [this](const auto& inputs) { compute(inputs); });
    if (!graph_.problem().empty())
      throw std::runtime_error("--contenders captured: the step cannot be captured (" + graph_.problem() +
                               ")");
    if (!replays) return compute(batch_);
    graph_.replay(++replays_);
  }
  void settled() override { communicator_->barrier(); }

 private:
  void compute(const std::vector<StepInput>& inputs) {
    training_.data = inputs.front().data;
    training_.target = inputs.front().target;
    training_.backward([this](const at::Tensor& data) { return ddp_.forward(data); });
    training_.optimizer->step();
  }

  CommunicatorPtr communicator_;
  TrainingStep training_;
  const std::vector<StepInput> batch_;
  DistributedDataParallel<Model> ddp_;
  StepGraph graph_;
  std::int64_t replays_ = 0;
};

// A recorded step, slept instead of computed, whose gradients are averaged for real.
class Replayed final : public InProcess {
 public:
  Replayed(const StepProfile& profile, const BenchWorld& world)
      : InProcess(world),
        communicator_(world.communicator()),
        stand_in_(std::make_shared<StandIn>(profile)),
        ddp_(stand_in_, communicator_),
        recorder_(ddp_.reducer(), profile.gradient_bytes()) {}
  std::string name() const override { return kReplayed; }
  std::optional<StepTimeline> timeline() const override { return recorder_.median(); }

 protected:
  void step() override {
    recorder_.begin_step();
    stand_in_->zero_grad_to_none();
    const at::Tensor loss = ddp_.forward();
    recorder_.end_forward();
    loss.backward();
    recorder_.end_backward();
    stand_in_->sleep_as_optimizer();
    recorder_.end_step();
  }
  void settled() override { communicator_->barrier(); }

 private:
  CommunicatorPtr communicator_;
  std::shared_ptr<StandIn> stand_in_;
  DistributedDataParallel<StandIn> ddp_;
  StepRecorder recorder_;
};

class C10d final : public InProcess {
 public:
  C10d(const Workload& workload, const BenchWorld& world, const StepPlace& place, bool compress)
      : InProcess(world), communicator_(world.communicator()), step_(workload, world, place, compress) {}
  std::string name() const override { return kC10d; }

 protected:
  void step() override { step_.step(); }
  void settled() override { communicator_->barrier(); }

 private:
  CommunicatorPtr communicator_;
  C10dStep step_;
};

class Pytorch final : public StepContender {
 public:
  Pytorch(PytorchTwin& twin, std::string name, std::string kind)
      : twin_(twin), name_(std::move(name)), kind_(std::move(kind)) {}
  std::string name() const override { return name_; }
  std::vector<double> take_turn(int settle_steps, int steps) override {
    return twin_.take_turn(kind_, settle_steps, steps);
  }

 private:
  PytorchTwin& twin_;
  std::string name_;
  std::string kind_;
};

bool contains(const std::vector<std::string>& words, const char* word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

std::vector<std::unique_ptr<StepContender>> make_step_contenders(const StepConfig& config,
                                                                 const Workload& workload,
                                                                 const BenchWorld& world, PytorchTwin* twin) {
  std::vector<std::unique_ptr<StepContender>> contenders;
  const auto ours = split_list(config.contenders);
  const bool compress = config.compress == "fp16";
  const StepPlace place = place_of(config, world);
  if (contains(ours, kCaptured)) {
    if (world.communicator()->backend() != "nccl")
      throw std::invalid_argument(
          "--contenders captured: CUDA graphs need --device cuda with --backend nccl");
    prepare_process_for_capture(world.device());  // for all of them
  }
  // Of one rank it would be the local step once more.
  if (contains(ours, kAlone) && world.world_size() > 1)
    contenders.push_back(std::make_unique<Alone>(workload, world, place));
  if (contains(ours, kLocal)) contenders.push_back(std::make_unique<Local>(workload, world, place));
  for (const char* name : {kAveraged, kSharded, kShardedWaiting}) {
    if (contains(ours, name))
      contenders.push_back(std::make_unique<Parallel>(workload, world, place, config.compress, name));
  }
  if (contains(ours, kCaptured))
    contenders.push_back(std::make_unique<Captured>(workload, world, place, config.compress));
  if (!config.replay.empty())
    contenders.push_back(std::make_unique<Replayed>(read_step_profile(config.replay), world));
  if (contains(split_list(config.compare), kC10d)) {
    contenders.push_back(std::make_unique<C10d>(workload, world, place, compress));
  }
  if (twin != nullptr) {
    const auto peers = split_list(config.compare);
    const bool compiles = contains(peers, kPytorchCompile);
    twin->set_up(workload, compress, compiles);
    if (compiles || contains(peers, kPytorch))
      contenders.push_back(std::make_unique<Pytorch>(*twin, kPytorchLocal, "local"));
    contenders.push_back(std::make_unique<Pytorch>(*twin, kPytorchDdp, "ddp"));
    if (compiles) contenders.push_back(std::make_unique<Pytorch>(*twin, kPytorchCompiled, "compiled"));
  }
  return contenders;
}

StepPlace place_of(const StepConfig& config, const BenchWorld& world) {
  return {world.device(), parse_precision(config.precision), config.channels_last};
}

std::string describe(const Workload& workload) {
  const TrainingStep step(workload, 0);
  std::string text = workload.name + ": " + workload.model + " ";
  if (step.tokens_per_sample > 0) {
    const DatasetShape shape = TrainingStep::shape_of(workload);
    text += std::to_string(shape.sequence_length) + " of " + format_count(shape.vocabulary_size) + " tokens";
  } else {
    for (std::size_t i = 0; i < workload.sample_sizes.size(); ++i) {
      text += (i == 0 ? "" : "x") + std::to_string(workload.sample_sizes[i]);
    }
    for (const std::int64_t width : workload.hidden) text += "-" + std::to_string(width);
    text += "-" + std::to_string(workload.num_classes);
  }
  std::int64_t parameters = 0;
  for (const at::Tensor& parameter : step.model->parameters()) parameters += parameter.numel();
  return text + ", batch " + std::to_string(workload.batch_size) + ", " + format_count(parameters) +
         " parameters";
}

}  // namespace lockstep
