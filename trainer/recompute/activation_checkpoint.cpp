// Autograd asks its engine, for every tensor that it is about to keep, whether somebody else wants to keep it
// (SavedVariableHooks). In the first call of a function we take the tensors and keep nothing but their
// number; the second call, when the first of them is asked for, is made in the same order and brings all of
// them.
#include "trainer/recompute/activation_checkpoint.h"

#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/engine.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "trainer/recompute/forward_state.h"

namespace lockstep {
namespace {

using torch::autograd::Engine;
using torch::autograd::SavedVariableHooks;

constexpr int kNoTask = -1;  // as get_current_graph_task_id() has it

// Of one checkpoint(). The graph's hooks own it. CUDA's and the CPU's part of a backward pass run on threads
// of their own and may ask at the same time.
class Region : public std::enable_shared_from_this<Region> {
 public:
  Region(const CheckpointedFunction& function, const std::vector<at::Tensor>& inputs,
         std::vector<at::Tensor> buffers)
      : function_(function), buffers_(std::move(buffers)), state_(device_of(inputs)) {
    for (const at::Tensor& input : inputs)
      inputs_.push_back({input.detach(), input.requires_grad(), input._version()});
  }

  // The first call.
  std::size_t add(const at::Tensor& tensor) {
    saved_.push_back({tensor.sizes().vec(), tensor.scalar_type()});
    return saved_.size() - 1;
  }
  void end_first_call() {
    check_inputs();
    complete_ = true;
  }

  // The backward pass: what add() had as number `index`. Each is given once for each second call.
  at::Tensor take(std::size_t index) {
    const std::scoped_lock lock(mutex_);
    if (!complete_) throw std::runtime_error("checkpoint: the function runs a backward pass itself");
    const int task = torch::autograd::get_current_graph_task_id();
    if (task == kNoTask || task != task_ || !recomputed_[index].tensor.defined()) {
      recompute();
      task_ = task;
    }
    return std::exchange(recomputed_[index].tensor, {});
  }

  // The second call.
  void bring(const at::Tensor& tensor) {
    const std::size_t index = recomputed_.size();
    if (index >= saved_.size() || tensor.sizes() != saved_[index].sizes ||
        tensor.scalar_type() != saved_[index].dtype) {
      refuse_difference();
    }
    recomputed_.push_back({tensor.detach(), tensor._version()});
  }

 private:
  struct Input {
    at::Tensor tensor;  // without its graph
    bool requires_grad;
    std::int64_t version;
  };
  struct Saved {
    std::vector<std::int64_t> sizes;
    at::ScalarType dtype;
  };
  struct Recomputed {
    at::Tensor tensor;
    std::int64_t version;
  };

  static at::Device device_of(const std::vector<at::Tensor>& inputs) {
    for (const at::Tensor& input : inputs) {
      if (input.is_cuda()) return input.device();
    }
    return at::kCPU;
  }

  void check_inputs() const {
    for (const Input& input : inputs_) {
      if (input.tensor._version() == input.version) continue;
      throw std::runtime_error(
          "checkpoint: an input was changed in place, but is needed as it was to compute the function again; "
          "change a clone of it");
    }
  }

  [[noreturn]] static void refuse_difference() {
    throw std::runtime_error(
        "checkpoint: the function's second call does not do what the first one did; it must depend on "
        "nothing "
        "that has changed since");
  }

  void recompute();

  CheckpointedFunction function_;
  std::vector<Input> inputs_;
  std::vector<at::Tensor> buffers_;
  ForwardState state_;
  std::vector<Saved> saved_;
  bool complete_ = false;
  std::mutex mutex_;
  std::vector<Recomputed> recomputed_;
  int task_ = kNoTask;  // the backward pass that they were computed for
};

// Whose call this thread is in.
thread_local Region* t_region = nullptr;
thread_local bool t_is_second_call = false;

class CallGuard {
 public:
  CallGuard(Region& region, bool is_second)
      : region_(std::exchange(t_region, &region)), is_second_(std::exchange(t_is_second_call, is_second)) {}
  ~CallGuard() {
    t_region = region_;
    t_is_second_call = is_second_;
  }
  CallGuard(const CallGuard&) = delete;
  CallGuard& operator=(const CallGuard&) = delete;

 private:
  Region* const region_;
  const bool is_second_;
};

void Region::recompute() {
  check_inputs();
  task_ = kNoTask;
  recomputed_.clear();
  recomputed_.reserve(saved_.size());
  const ForwardStateGuard state(state_, buffers_);
  const CallGuard call(*this, /*is_second=*/true);
  std::vector<at::Tensor> inputs;
  for (const Input& input : inputs_)
    inputs.push_back(input.tensor.detach().set_requires_grad(input.requires_grad));
  function_(inputs);
  if (recomputed_.size() != saved_.size()) refuse_difference();
  for (const Recomputed& one : recomputed_) {
    if (one.tensor._version() == one.version) continue;
    throw std::runtime_error(
        "checkpoint: the function changes in place what its backward pass needs; do that to a clone");
  }
}

// In the place of a tensor of the first call.
class Placeholder final : public SavedVariableHooks {
 public:
  explicit Placeholder(std::shared_ptr<Region> region) : region_(std::move(region)) {}
  void call_pack_hook(const at::Tensor& tensor) override { index_ = region_->add(tensor); }
  at::Tensor call_unpack_hook() override { return region_->take(index_); }

 private:
  std::shared_ptr<Region> region_;
  std::size_t index_ = 0;
};

// Of the second call, whose own graph nobody goes back through.
class Delivery final : public SavedVariableHooks {
 public:
  explicit Delivery(Region& region) : region_(region) {}
  void call_pack_hook(const at::Tensor& tensor) override { region_.bring(tensor); }
  at::Tensor call_unpack_hook() override {
    throw std::runtime_error("checkpoint: the function runs a backward pass itself");
  }

 private:
  Region& region_;
};

class CheckpointingEngine final : public Engine {
 public:
  // Threads for GPUs are started by the process's first backward pass, for its engine only: the base engine
  // gets those, if it has not yet, and this one starts its own.
  CheckpointingEngine() {
    get_base_engine().initialize_device_threads_pool();
    start_device_threads();
  }

  std::unique_ptr<SavedVariableHooks> get_default_saved_variable_hooks() override {
    if (t_region == nullptr) return nullptr;
    if (t_is_second_call) return std::make_unique<Delivery>(*t_region);
    return std::make_unique<Placeholder>(t_region->shared_from_this());
  }

  // Never destroyed: its threads may outlive static objects.
  static Engine& instance() {
    static auto* const engine = new CheckpointingEngine;
    return *engine;
  }
};

void install_engine() {
  static const bool installed = [] {
    if (&Engine::get_default_engine() != &Engine::get_base_engine()) return false;
    torch::autograd::set_default_engine_stub(&CheckpointingEngine::instance);
    return true;
  }();
  if (!installed) {
    throw std::runtime_error(
        "checkpoint: autograd has an engine of somebody else's, such as Python's; checkpoint with its means");
  }
}

}  // namespace

at::Tensor checkpoint(const CheckpointedFunction& function, const std::vector<at::Tensor>& inputs,
                      const std::vector<at::Tensor>& buffers) {
  if (!at::GradMode::is_enabled() || t_region != nullptr) return function(inputs);
  install_engine();
  const auto region = std::make_shared<Region>(function, inputs, buffers);
  const CallGuard call(*region, /*is_second=*/false);
  at::Tensor output = function(inputs);
  region->end_first_call();
  return output;
}

bool is_recomputing() {
  return t_is_second_call;
}

}  // namespace lockstep
