#include "trainer/optim/sharded_optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <chrono>
#include <stdexcept>
#include <utility>

#include "comm/module_state.h"

namespace lockstep {
namespace {

// Adds the time until its end to `total`.
class Stopwatch {
 public:
  explicit Stopwatch(double& total) : total_(total) {}
  ~Stopwatch() { total_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  double& total_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace

ShardedOptimizer::ShardedOptimizer(const std::string& name, std::vector<at::Tensor> parameters,
                                   const OptimizerOptions& options, Reducer& reducer,
                                   CommunicatorPtr communicator)
    : name_(name),
      options_(options),
      parameters_(std::move(parameters)),
      reducer_(reducer),
      communicator_(std::move(communicator)) {
  create_elementwise_optimizer(name, parameters_, options);  // for its opinion of these parameters
  if (options.fused && parameters_.front().is_cpu()) {
    throw std::invalid_argument(
        "fused kernels on the CPU round the end of a range otherwise than its middle, so that shards would "
        "change the bits; "
        "use --shard-optimizer off, or --fused-optimizer off");
  }
  std::vector<ParameterSize> sizes;
  for (const at::Tensor& parameter : parameters_) {
    if (!parameter.is_non_overlapping_and_dense())
      throw std::invalid_argument("a parameter with gaps in memory cannot be sharded; make it contiguous");
    sizes.push_back({parameter.numel(), static_cast<std::int64_t>(parameter.element_size())});
  }
  if (reducer_.shares_memory()) {
    shared_ = std::dynamic_pointer_cast<SharedMemoryCommunicator>(communicator_);
    share_parameters();
  } else {
    scatters_ = reducer_.can_defer() && communicator_->world_size() > 1;
  }
  if (shared_ || scatters_) reducer_.defer_averages(true);
  plan_ = shared_ || scatters_ ? reducer_.shard_plan() : plan_shards(sizes, communicator_->world_size());
  make_shards();
}

void ShardedOptimizer::make_shards() {
  std::vector<at::Tensor> shards;
  for (const Shard& shard : own_shards())
    shards.push_back(shard_of(parameters_[static_cast<std::size_t>(shard.parameter)], shard));
  // A rank without any shard takes part all the same.
  if (shards.empty()) shards.push_back(at::zeros({0}));
  shards_optimizer_ = create_elementwise_optimizer(name_, std::move(shards), options_);
}

// Forgets what was remembered.
void ShardedOptimizer::follow_buckets() {
  const double lr = shards_optimizer_->lr();
  plan_ = reducer_.shard_plan();
  make_shards();
  shards_optimizer_->set_lr(lr);
  if (momentum_) shards_optimizer_->set_momentum(*momentum_);
}

ShardedOptimizer::~ShardedOptimizer() {
  try {
    if (shared_ || scatters_) reducer_.defer_averages(false);
  } catch (const std::exception&) {  // the parameters did not come, which the communicator tells everybody
  }
  if (!shared_) return;
  const at::NoGradGuard no_grad;
  for (at::Tensor& parameter : parameters_) parameter.set_data(parameter.detach().clone());
}

at::Tensor ShardedOptimizer::shard_of(const at::Tensor& parameter, const Shard& shard) const {
  return flat_view(parameter.detach()).narrow(0, shard.begin, shard.size());
}

// Rounded up to whole cache lines.
std::int64_t ShardedOptimizer::in_lines(std::int64_t bytes) {
  constexpr std::int64_t kLine = 64;
  return (bytes + kLine - 1) / kLine * kLine;
}

// Into rank 0's segment, one after the other at cache lines.
void ShardedOptimizer::share_parameters() {
  const at::NoGradGuard no_grad;
  std::int64_t bytes = 0;
  std::vector<std::int64_t> offsets;
  for (const at::Tensor& parameter : parameters_) {
    offsets.push_back(bytes);
    bytes += in_lines(static_cast<std::int64_t>(parameter.nbytes()));
  }
  const std::shared_ptr<SharedMemory>& memory = shared_->memory();
  const at::Tensor place = at::zeros({1}, at::TensorOptions().dtype(at::kLong));
  at::Tensor block;
  if (shared_->rank() == 0) {
    block = memory->allocate_tensor({bytes}, at::kByte);
    place.fill_(block.defined() ? memory->offset_of(block.const_data_ptr()) : -1);
  }
  shared_->broadcast(place, 0)->wait();
  if (place.item<std::int64_t>() < 0) throw std::runtime_error("no shared memory left for the parameters");
  std::byte* base = memory->at(0, place.item<std::int64_t>());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    at::Tensor& parameter = parameters_[i];
    // On rank 0 the block, elsewhere the mapping, lives as long as the parameter.
    const at::Tensor shared = at::from_blob(
        base + offsets[i], parameter.sizes(), parameter.strides(), [block, memory](void*) {},
        parameter.options().requires_grad(false));
    if (shared_->rank() == 0) shared.copy_(parameter.detach());
    parameter.set_data(shared);
  }
  shared_->barrier();
}

void ShardedOptimizer::zero_grad() {
  for (at::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
}

void ShardedOptimizer::average_gradients() {
  exposed_wait_s_ = 0.0;
  if (!shared_ && !scatters_) return;
  const Stopwatch stopwatch(exposed_wait_s_);
  reducer_.average_now();
  averaged_ = true;
}

void ShardedOptimizer::overlap_param_gather(std::function<void()> before_gathering) {
  if (!scatters_) return;
  overlaps_ = true;
  before_gathering_ = std::move(before_gathering);
  reducer_.overlap_gathering(true);
}

void ShardedOptimizer::step() {
  step_with({});
}

// All ranks have to take the same way, those without a shard too. Where buckets are not scattered a parameter
// may go without a gradient, and its owner alone would have to ask the device.
void ShardedOptimizer::step_unless(const at::Tensor& found_inf) {
  const bool remembers = remembers_ || shards_optimizer_->memory_kinds().empty();
  if (!scatters_ || !options_.fused || buckets_have_changed() || !remembers)
    return Optimizer::step_unless(found_inf);
  step_with(found_inf);
}

void ShardedOptimizer::step_with(const at::Tensor& found_inf) {
  const at::NoGradGuard no_grad;
  if (!averaged_) exposed_wait_s_ = 0.0;
  if (buckets_have_changed()) move_with_buckets();
  const bool from_averages = (shared_ || scatters_) && !averaged_;
  if (from_averages) {
    update_from_averages(found_inf);
  } else {
    update_from_gradients(found_inf);
  }
  if (!from_averages || overlaps_) {
    const Stopwatch stopwatch(exposed_wait_s_);
    if (before_gathering_) before_gathering_();
    if (shared_) {
      shared_->barrier();  // nobody goes on before all shards are updated
    } else if (scatters_) {
      reducer_.gather_parameters();
    } else {
      send_shards_round();
    }
  }
  reducer_.take_parameter_wait_s();  // it is in exposed_wait_s_
  averaged_ = false;
  remembers_ = true;
  for (const at::Tensor& parameter : parameters_) parameter.unsafeGetTensorImpl()->bump_version();
}

void ShardedOptimizer::update_from_averages(const at::Tensor& found_inf) {
  const double waited_before = waited_s();
  if (shared_) {
    const std::vector<Shard>& shards = own_shards();
    for (std::size_t s = 0; s < shards.size(); ++s) shards_optimizer_->begin_update(s);
    reducer_.visit_shards([&](std::size_t s, std::int64_t begin, const void* average, std::int64_t count) {
      shards_optimizer_->update(s, begin - shards[s].begin, average, count);
    });
  } else {
    reducer_.visit_buckets([&](const std::vector<ShardAverage>& averages) {
      std::vector<ElementwiseOptimizer::IndexedGradient> gradients;
      for (const auto& [shard, average] : averages) gradients.push_back({shard, average});
      shards_optimizer_->update_with(gradients, found_inf);
    });
  }
  exposed_wait_s_ = waited_s() - waited_before + reducer_.take_parameter_wait_s();
}

const std::vector<Shard>& ShardedOptimizer::own_shards() const {
  return plan_[static_cast<std::size_t>(communicator_->rank())];
}

double ShardedOptimizer::waited_s() const {
  return shared_ ? shared_->waited_s() : reducer_.times().exposed_wait_s;
}

void ShardedOptimizer::update_from_gradients(const at::Tensor& found_inf) {
  const std::vector<Shard>& shards = own_shards();
  std::vector<ElementwiseOptimizer::IndexedGradient> gradients;
  for (std::size_t s = 0; s < shards.size(); ++s) {
    const at::Tensor& parameter = parameters_[static_cast<std::size_t>(shards[s].parameter)];
    at::Tensor grad = parameter.grad();
    if (!grad.defined()) continue;
    if (grad.strides() != parameter.strides()) grad = at::empty_like(parameter.detach()).copy_(grad);
    gradients.push_back({s, shard_of(grad, shards[s])});
  }
  shards_optimizer_->update_with(gradients, found_inf);
}

void ShardedOptimizer::send_shards_round() {
  for (int root = 0; root < communicator_->world_size(); ++root) {
    std::vector<at::Tensor> shards;
    for (const Shard& shard : plan_[static_cast<std::size_t>(root)])
      shards.push_back(shard_of(parameters_[static_cast<std::size_t>(shard.parameter)], shard));
    broadcast_tensors(shards, *communicator_, root);
  }
}

}  // namespace lockstep
