#include "comm/reducer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/scalar_tensor.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>

#include "comm/errors.h"

namespace lockstep {

struct Reducer::State : std::enable_shared_from_this<Reducer::State> {
  struct ActiveBucket {
    std::vector<std::int64_t> parameters;
    std::optional<Bucket> memory;  // none over shared memory
    std::size_t pending = 0;       // gradients that have not come yet
    WorkPtr work;
  };
  // Where a parameter's gradient goes.
  struct Slot {
    std::size_t bucket = 0;
    std::size_t index = 0;  // within the bucket
  };

  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;
  CommunicatorPtr communicator;
  ReducerOptions options;

  std::unique_ptr<SharedGradients> shared;  // in place of the buckets' memory
  bool deferred = false;

  std::mutex mutex;  // CUDA gradients arrive on the engine's device threads
  std::vector<ActiveBucket> buckets;
  std::vector<Slot> slots;  // by parameter
  std::vector<bool> ready;  // by parameter
  std::vector<std::int64_t> arrival_order;
  bool rebuilt = false;
  bool synchronize = true;
  bool in_backward = false;
  std::size_t next_bucket = 0;  // buckets start in order, on every rank alike
  std::size_t gradients_left = 0;
  ReductionTimes times;
  at::Tensor one_over_world_size;  // a number in the sense of type promotion, as in PyTorch's reducer

  void use_assignment(const BucketAssignment& assignment) {
    buckets.clear();
    slots.assign(parameters.size(), {});
    for (std::size_t b = 0; b < assignment.size(); ++b) {
      buckets.push_back({assignment[b], std::nullopt, 0, nullptr});
      if (!shared) buckets.back().memory.emplace(parameters, assignment[b], *communicator);
      for (std::size_t i = 0; i < assignment[b].size(); ++i) {
        slots[static_cast<std::size_t>(assignment[b][i])] = {b, i};
      }
    }
    if (shared) shared->use_assignment(assignment);
  }

  BucketAssignment assignment() const {
    BucketAssignment result;
    for (const ActiveBucket& active : buckets) result.push_back(active.parameters);
    return result;
  }

  void begin_backward() {
    in_backward = true;
    next_bucket = 0;
    times = {};
    gradients_left = parameters.size();
    ready.assign(parameters.size(), false);
    if (!rebuilt) arrival_order.clear();
    for (ActiveBucket& active : buckets) {
      active.pending = active.parameters.size();
      active.work = nullptr;
    }
    torch::autograd::Engine::get_default_engine().queue_callback(
        [self = shared_from_this()] { self->finish_backward(); });
  }

  void on_gradient(std::size_t parameter) {
    const std::scoped_lock lock(mutex);
    if (!synchronize) return;
    if (!in_backward) begin_backward();
    if (ready[parameter]) {
      in_backward = false;
      throw std::runtime_error(
          "parameter " + names[parameter] +
          " got a second gradient in one backward pass; a parameter that is shared or used by "
          "checkpointed code more than once needs no_sync() for all passes but the last");
    }
    ready[parameter] = true;
    --gradients_left;
    if (!rebuilt) arrival_order.push_back(static_cast<std::int64_t>(parameter));
    check_dense(parameter);
    --buckets[slots[parameter].bucket].pending;
    if (shared) return shared->add(parameter);
    move_into_bucket(parameter);
    while (next_bucket < buckets.size() && buckets[next_bucket].pending == 0) {
      if (gradients_left > 0) ++times.buckets_started_in_backward;
      buckets[next_bucket].work = communicator->all_reduce(buckets[next_bucket].memory->flat());
      ++next_bucket;
    }
  }

  void check_dense(std::size_t parameter) const {
    if (parameters[parameter].grad().layout() == at::kStrided) return;
    throw std::invalid_argument("parameter " + names[parameter] +
                                " has a sparse gradient, which cannot be averaged over "
                                "ranks yet; make it dense (for an embedding: sparse = false)");
  }

  // The product is taken before the sum, as PyTorch does, and .grad becomes a view into the bucket.
  void move_into_bucket(std::size_t parameter) {
    const Slot& slot = slots[parameter];
    const at::Tensor& view = buckets[slot.bucket].memory->view(slot.index);
    at::Tensor& gradient = parameters[parameter].mutable_grad();
    at::Tensor into = view;
    at::mul_out(into, gradient, one_over_world_size);
    if (!gradient.is_alias_of(view)) gradient = view;
  }

  void finish_backward() {
    const std::scoped_lock lock(mutex);
    in_backward = false;
    if (gradients_left > 0) {
      std::string missing;
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        if (!ready[i]) missing += (missing.empty() ? "" : ", ") + names[i];
      }
      throw std::runtime_error("rank " + std::to_string(communicator->rank()) +
                               ": the backward pass gave no gradient to " + missing +
                               "; every parameter that requires a gradient must take part in the loss");
    }
    if (shared) {
      if (!deferred) average_in_place();
      return;
    }
    for (ActiveBucket& active : buckets) {
      const auto begin = std::chrono::steady_clock::now();
      active.work->wait();
      times.exposed_wait_s += seconds_since(begin);
      active.work = nullptr;
    }
  }

  static double seconds_since(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  void average_in_place() {
    const auto begin = std::chrono::steady_clock::now();
    shared->average();
    times.exposed_wait_s += seconds_since(begin);
  }

  bool can_rebuild() const { return !rebuilt && arrival_order.size() == parameters.size(); }

  BucketAssignment assignment_by_arrival(const std::vector<std::int64_t>& order) const {
    return assign_buckets(parameters, order, {options.first_bucket_cap_bytes, options.bucket_cap_bytes});
  }

  // A backward pass that threw may have left reductions running in the buckets, and the peers in the middle
  // of theirs.
  void check_nothing_under_way() {
    for (const ActiveBucket& active : buckets) {
      if (!active.work) continue;
      const std::string reason = "a backward pass failed in the middle of its reductions";
      communicator->abort(reason);
      throw CommError("rank " + std::to_string(communicator->rank()) + ": " + reason +
                      "; the ranks cannot go on together");
    }
  }

  // Rank 0's arrival order decides, since it may differ between ranks.
  void rebuild_buckets() {
    at::Tensor order =
        at::empty({static_cast<std::int64_t>(parameters.size())}, at::TensorOptions().dtype(at::kLong));
    std::copy(arrival_order.begin(), arrival_order.end(), order.data_ptr<std::int64_t>());
    communicator->broadcast(order, 0)->wait();
    const auto* agreed = order.const_data_ptr<std::int64_t>();
    use_assignment(assignment_by_arrival({agreed, agreed + parameters.size()}));
    rebuilt = true;
  }
};

namespace {

// Autograd owns the hook and keeps it as long as the parameter lives, so it must not keep the reducer alive.
template <typename State>
class GradientHook final : public torch::autograd::PostAccumulateGradHook {
 public:
  GradientHook(std::weak_ptr<State> state, std::size_t parameter)
      : state_(std::move(state)), parameter_(parameter) {}
  void operator()(const at::Tensor& /*parameter*/) override {
    if (const auto state = state_.lock()) state->on_gradient(parameter_);
  }

 private:
  std::weak_ptr<State> state_;
  std::size_t parameter_;
};

}  // namespace

Reducer::Reducer(std::vector<std::pair<std::string, at::Tensor>> parameters, CommunicatorPtr communicator,
                 ReducerOptions options)
    : state_(std::make_shared<State>()) {
  State& state = *state_;
  state.communicator = std::move(communicator);
  state.options = options;
  std::set<const void*> seen;
  for (auto& [name, parameter] : parameters) {
    if (!parameter.requires_grad()) continue;
    if (parameter.layout() != at::kStrided) throw std::invalid_argument("parameter " + name + " is sparse");
    if (!parameter.is_leaf())
      throw std::invalid_argument("parameter " + name + " is no leaf of the autograd graph");
    if (!seen.insert(parameter.unsafeGetTensorImpl()).second) {
      throw std::invalid_argument("parameter " + name + " is listed twice; list a shared parameter once");
    }
    state.names.push_back(name);
    state.parameters.push_back(parameter);
  }
  if (state.parameters.empty())
    throw std::invalid_argument("the model has no parameter that requires a gradient");

  std::vector<std::int64_t> registration_order(state.parameters.size());
  std::iota(registration_order.begin(), registration_order.end(), 0);
  // Checked here, so that a bad cap does not wait for the second step to be noticed.
  assign_buckets(state.parameters, registration_order,
                 {options.first_bucket_cap_bytes, options.bucket_cap_bytes});
  state.shared = SharedGradients::create(state.parameters, state.communicator);
  state.use_assignment(assign_buckets(state.parameters, registration_order, {kUnlimitedBucketBytes}));
  state.one_over_world_size =
      at::scalar_tensor(1.0 / state.communicator->world_size(), at::TensorOptions().dtype(at::kDouble));
  state.one_over_world_size.unsafeGetTensorImpl()->set_wrapped_number(true);
  for (std::size_t i = 0; i < state.parameters.size(); ++i) {
    torch::autograd::impl::set_post_acc_grad_hooks(
        state.parameters[i], std::make_unique<GradientHook<State>>(std::weak_ptr<State>(state_), i));
  }
}

Reducer::~Reducer() {
  for (const at::Tensor& parameter : state_->parameters) {
    torch::autograd::impl::set_post_acc_grad_hooks(parameter, nullptr);
  }
}

void Reducer::prepare_for_forward(bool synchronize) {
  const std::scoped_lock lock(state_->mutex);
  state_->synchronize = synchronize;
  state_->in_backward = false;
  state_->check_nothing_under_way();
  if (state_->can_rebuild()) state_->rebuild_buckets();
  if (state_->shared) state_->shared->begin();
}

bool Reducer::can_defer() const {
  return state_->shared != nullptr;
}

void Reducer::defer_averages(bool deferred) {
  if (deferred && !can_defer())
    throw std::logic_error("averages can be deferred where all ranks share memory only");
  state_->deferred = deferred;
}

const std::vector<Shard>& Reducer::shards() const {
  if (!can_defer()) throw std::logic_error("there are shards where all ranks share memory only");
  return state_->shared->shards();
}

void Reducer::visit_shards(const SharedGradients::Visitor& visit) {
  if (!state_->deferred) throw std::logic_error("the averages were not deferred");
  state_->shared->visit_shards(visit);
}

void Reducer::average_now() {
  if (!state_->deferred) throw std::logic_error("the averages were not deferred");
  const std::scoped_lock lock(state_->mutex);
  state_->average_in_place();
}

BucketHistory Reducer::history() const {
  const std::scoped_lock lock(state_->mutex);
  // The first pass is through but the buckets wait for the next forward pass to be rebuilt: a resume has to
  // do that pass with the rebuilt ones, too. The order is this rank's, which is the one that counts on rank
  // 0.
  if (state_->can_rebuild()) return {state_->assignment_by_arrival(state_->arrival_order), true};
  return {state_->assignment(), state_->rebuilt};
}

void Reducer::load_history(const BucketHistory& history) {
  const std::scoped_lock lock(state_->mutex);
  std::vector<std::int64_t> indices;
  for (const auto& bucket : history.assignment) {
    if (bucket.empty()) throw std::invalid_argument("bucket history: a bucket is empty");
    indices.insert(indices.end(), bucket.begin(), bucket.end());
  }
  std::sort(indices.begin(), indices.end());
  for (std::size_t i = 0; i < std::max(indices.size(), state_->parameters.size()); ++i) {
    if (i >= indices.size() || i >= state_->parameters.size() || indices[i] != static_cast<std::int64_t>(i)) {
      throw std::invalid_argument("bucket history: it does not name each of the model's " +
                                  std::to_string(state_->parameters.size()) + " parameters once");
    }
  }
  state_->use_assignment(history.assignment);
  state_->rebuilt = history.rebuilt;
}

ReductionTimes Reducer::times() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->times;
}

}  // namespace lockstep
