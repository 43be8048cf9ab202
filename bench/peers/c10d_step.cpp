// After torch/nn/parallel/distributed.py of PyTorch 2.11: _ddp_init_helper() and _pre_forward().
#include "bench/peers/c10d_step.h"

#include <torch/csrc/distributed/c10d/comm.hpp>
#include <torch/csrc/distributed/c10d/reducer.hpp>

#include <algorithm>
#include <limits>

#include "bench/peers/gloo_group.h"
#include "bench/training_step.h"

namespace lockstep {
namespace {

constexpr std::int64_t kFirstBucketBytes = 1 << 20;         // dist._DEFAULT_FIRST_BUCKET_BYTES
constexpr std::int64_t kBucketBytes = 25 << 20;             // bucket_cap_mb
constexpr std::size_t kBroadcastBytes = 250 * 1024 * 1024;  // broadcast_bucket_size

std::unique_ptr<c10d::Reducer> make_reducer(const std::vector<at::Tensor>& parameters,
                                            const c10::intrusive_ptr<c10d::ProcessGroup>& group) {
  // DDP starts with one bucket of everything, and Reducer rebuilds it after the first step.
  const std::vector<bool> expect_sparse(parameters.size(), false);
  auto buckets = std::get<0>(c10d::compute_bucket_assignment_by_size(
      parameters, {static_cast<std::size_t>(std::numeric_limits<int>::max())}, expect_sparse));
  std::reverse(buckets.begin(), buckets.end());
  return std::make_unique<c10d::Reducer>(
      parameters, std::move(buckets), group, expect_sparse, kBucketBytes, /*find_unused_parameters=*/false,
      /*gradient_as_bucket_view=*/false, std::unordered_map<std::size_t, std::string>(), kFirstBucketBytes,
      /*skip_all_reduce_unused_params=*/false, /*use_python_reducer=*/false, std::vector<std::int64_t>());
}

}  // namespace

struct C10dStep::State {
  State(const Workload& workload, const BenchWorld& world, const StepPlace& place)
      : training(workload, world.rank(), place),
        group(make_gloo_process_group(world, "c10d/" + workload.name)) {
    auto tensors = training.model->parameters();
    buffers = training.model->buffers();
    tensors.insert(tensors.end(), buffers.begin(), buffers.end());
    for (at::Tensor& tensor : tensors) tensor = tensor.detach();
    c10d::broadcast_coalesced(group, tensors, kBroadcastBytes);
    reducer = make_reducer(training.model->parameters(), group);
  }

  TrainingStep training;
  std::vector<at::Tensor> buffers;
  c10::intrusive_ptr<c10d::ProcessGroup> group;
  std::unique_ptr<c10d::Reducer> reducer;
};

C10dStep::C10dStep(const Workload& workload, const BenchWorld& world, const StepPlace& place, bool compress)
    : state_(std::make_unique<State>(workload, world, place)) {
  if (compress) state_->reducer->register_builtin_comm_hook(c10d::BuiltinCommHookType::FP16_COMPRESS);
}

C10dStep::~C10dStep() = default;

void C10dStep::step() {
  State& state = *state_;
  state.training.backward([&](const at::Tensor& data) {
    state.reducer->prepare_for_forward();
    state.reducer->rebuild_buckets();
    if (!state.buffers.empty()) c10d::broadcast_coalesced(state.group, state.buffers, kBroadcastBytes);
    const at::Tensor logits = state.training.model->forward(data);
    state.reducer->prepare_for_backward({});
    return logits;
  });
  state.training.optimizer->step();
}

}  // namespace lockstep
