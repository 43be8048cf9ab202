#include "comm/reducer.h"

#include <ATen/ops/scalar_tensor.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include "comm/reducer_state.h"

namespace lockstep {
namespace {

constexpr const char* kNotGathered = "parameters of ranks that share memory are not gathered";

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
  if (options.find_unused_parameters && options.static_graph) {
    throw std::invalid_argument(
        "find_unused_parameters with static_graph: the one looks in each pass, the other in the first only; "
        "set one "
        "of them");
  }
  if (options.find_unused_parameters && options.choose_bucket_caps) {
    throw std::invalid_argument(
        "find_unused_parameters with choose_bucket_caps: the one never rebuilds the buckets; leave one out");
  }
  if (options.logical_ranks < 0) {
    throw std::invalid_argument("logical_ranks " + std::to_string(options.logical_ranks) +
                                ": must be at least 1, or 0 for none");
  }
  if (options.logical_ranks > 1 && (options.find_unused_parameters || options.static_graph || options.hook)) {
    throw std::invalid_argument(
        "several logical ranks per rank go with neither a communication hook nor unused parameters");
  }
  if (options.find_unused_parameters || options.static_graph) state.used.emplace(state.parameters.size());

  std::vector<std::int64_t> registration_order(state.parameters.size());
  std::iota(registration_order.begin(), registration_order.end(), 0);
  // Made here in any case, so that a bad cap does not wait for the second step to be noticed.
  BucketAssignment assignment = state.assignment_by_arrival(registration_order);
  if (options.find_unused_parameters) {
    std::reverse(assignment.begin(),
                 assignment.end());  // as PyTorch: about the order in which gradients come
  } else {
    assignment = assign_buckets(state.parameters, registration_order, {kUnlimitedBucketBytes});
  }
  if (!options.hook && !state.used) {
    state.shared = SharedGradients::create(state.parameters, state.communicator, state.logical_ranks());
  }
  if (options.choose_bucket_caps && state.shared) {
    state.remark = "bucket caps: gradients are averaged in shared memory, where there are no buckets to cap";
  }
  state.use_assignment(assignment);
  state.one_over_world_size =
      at::scalar_tensor(1.0 / (state.communicator->world_size() * state.logical_ranks()),
                        at::TensorOptions().dtype(at::kDouble));
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
  state_->expects_backward = true;
  state_->check_nothing_under_way();
  if (state_->can_rebuild()) state_->rebuild_buckets();
  if (state_->shared) state_->shared->begin();
}

void Reducer::shadow_backward() {
  const std::scoped_lock lock(state_->mutex);
  if (state_->shared) throw std::logic_error("shadow_backward() outside a join");
  state_->shadow();
}

// Zeros in place of gradients go through buckets, which give the same bits.
void Reducer::begin_join() {
  const std::scoped_lock lock(state_->mutex);
  if (state_->deferred) {
    throw std::logic_error("join() does not go with a sharded update: ranks without inputs do not update");
  }
  if (state_->logical_ranks() > 1)
    throw std::logic_error("join() does not go with several logical ranks per rank");
  if (!state_->shared) return;
  state_->parked = std::move(state_->shared);
  state_->use_assignment(state_->assignment());
}

void Reducer::end_join() {
  const std::scoped_lock lock(state_->mutex);
  if (!state_->parked) return;
  state_->shared = std::move(state_->parked);
  state_->use_assignment(state_->assignment());
}

bool Reducer::can_defer() const {
  return shares_memory() || state_->can_scatter();
}

bool Reducer::shares_memory() const {
  return state_->shared != nullptr;
}

void Reducer::defer_averages(bool deferred) {
  if (deferred && !can_defer())
    throw std::logic_error("the averages of these ranks or parameters cannot be deferred");
  const std::scoped_lock lock(state_->mutex);
  if (state_->deferred == deferred) return;
  state_->deferred = deferred;
  state_->overlaps_gathering = false;
  state_->finish_gatherings();
  // What is cut into blocks serves as well where they are not used. So nothing is communicated when a
  // destructor ends it.
  if (deferred && !state_->shared) state_->use_assignment(state_->assignment());
}

const ShardPlan& Reducer::shard_plan() const {
  if (state_->shared) return state_->shared->plan();
  state_->check_deferred();
  return state_->plan;
}

const std::vector<Shard>& Reducer::shards() const {
  return shard_plan()[static_cast<std::size_t>(state_->communicator->rank())];
}

void Reducer::visit_shards(const SharedGradients::Visitor& visit) {
  state_->check_deferred();
  if (!state_->shared) throw std::logic_error("shards of ranks that do not share memory come in buckets");
  const TraceSpan span(state_->trace, "wait", "update of shards");
  state_->shared->visit_shards(visit);
}

void Reducer::visit_buckets(const BucketVisitor& visit) {
  state_->check_deferred();
  if (state_->shared) throw std::logic_error(kNotGathered);
  const TraceSpan span(state_->trace, "wait", "update of shards");
  state_->visit_buckets(visit);
}

void Reducer::average_now() {
  state_->check_deferred();
  const std::scoped_lock lock(state_->mutex);
  if (!state_->shared) return state_->average_blocks();
  state_->average_in_place();
}

void Reducer::overlap_gathering(bool overlaps) {
  state_->check_deferred();
  if (state_->shared) throw std::logic_error(kNotGathered);
  wait_for_parameters();
  state_->overlaps_gathering = overlaps;
}

void Reducer::gather_parameters() {
  state_->check_deferred();
  if (state_->shared) throw std::logic_error(kNotGathered);
  state_->gather_parameters();
}

void Reducer::wait_for_parameters() {
  state_->finish_gatherings();
}

double Reducer::take_parameter_wait_s() {
  return std::exchange(state_->gathering_wait_s, 0.0);
}

bool Reducer::is_settled() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->rebuilt || state_->options.find_unused_parameters;
}

void Reducer::forget_pass() {
  const std::scoped_lock lock(state_->mutex);
  state_->in_backward = false;
  state_->expects_backward = false;
  state_->logical_rank = 0;
  for (State::ActiveBucket& active : state_->buckets) active.work = nullptr;
}

BucketHistory Reducer::history() const {
  const std::scoped_lock lock(state_->mutex);
  // The first pass is through but the buckets wait for the next forward pass to be rebuilt: a resume has to
  // do that pass with the rebuilt ones, too. The order is this rank's, which is the one that counts on rank
  // 0.
  // Caps that are still to be chosen cannot be had without the others.
  if (state_->can_rebuild() && !state_->measures())
    return {state_->assignment_by_arrival(state_->arrival_order), true};
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

std::optional<std::string> Reducer::take_remark() {
  const std::scoped_lock lock(state_->mutex);
  if (state_->remark.empty()) return std::nullopt;
  return std::exchange(state_->remark, {});
}

void Reducer::set_trace(TraceRecorder* trace) {
  const std::scoped_lock lock(state_->mutex);
  state_->trace = trace;
}

}  // namespace lockstep
