// Averages that are left to whoever updates shards, where ranks do not share memory: each bucket is
// reduce-scattered in the backward pass, updated block by block, and the parameters travel back bucket by
// bucket.
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <stdexcept>

#include "comm/reducer_state.h"
#include "comm/ring_communicator.h"

namespace lockstep {

bool Reducer::State::can_scatter() const {
  if (shared || parked || options.hook || used || logical_ranks() > 1) return false;
  const ReductionOrder order = communicator->reduction_order();
  const bool any_order = order == ReductionOrder::kFast;
  // One logical rank a rank fixes the order of sums where the communicator does not.
  if (any_order && options.logical_ranks > 0) return false;
  // In order kTree an element's sum does not depend on where it lies.
  const bool any_place = any_order || order == ReductionOrder::kTree;
  if (!any_place && dynamic_cast<const RingCommunicator*>(communicator.get()) == nullptr) return false;
  return std::all_of(parameters.begin(), parameters.end(),
                     [](const at::Tensor& parameter) { return parameter.is_non_overlapping_and_dense(); });
}

void Reducer::State::check_deferred() const {
  if (!deferred) throw std::logic_error("the averages were not deferred");
}

void Reducer::State::plan_blocks() {
  plan.assign(static_cast<std::size_t>(communicator->world_size()), {});
  std::int64_t most_bytes = 0;
  for (const ActiveBucket& active : buckets) {
    most_bytes = std::max(most_bytes, static_cast<std::int64_t>(active.memory->blocks().nbytes()));
    for (std::size_t rank = 0; rank < plan.size(); ++rank) {
      for (const BlockPart& part : active.memory->parts_of_block(static_cast<int>(rank)))
        plan[rank].push_back({part.parameter, part.begin, part.begin + part.count});
    }
  }
  const at::TensorOptions bytes = at::TensorOptions(parameters.front().device()).dtype(at::kByte);
  for (Gathering& gathering : gatherings) {
    gathering = {};
    gathering.memory = communicator->allocate({most_bytes}, bytes);
  }
}

// Whoever was to update has not: what is under way comes to its end all the same.
void Reducer::State::leave_out_update() {
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    if (buckets[bucket].work) wait_for(bucket);
  }
}

void Reducer::State::wait_for_averages(std::size_t bucket) {
  if (!buckets[bucket].work)
    throw std::logic_error("there are no averages: no backward pass that synchronises came before");
  wait_for(bucket);
}

void Reducer::State::visit_blocks(const SharedGradients::Visitor& visit) {
  const int rank = communicator->rank();
  std::size_t shard = 0;
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    wait_for_averages(bucket);
    const Bucket& memory = *buckets[bucket].memory;
    const auto element_bytes = static_cast<std::int64_t>(memory.block().element_size());
    const auto* averages = static_cast<const std::byte*>(memory.block().const_data_ptr());
    for (const BlockPart& part : memory.parts_of_block(rank))
      visit(shard++, part.begin, averages + part.offset * element_bytes, part.count);
    start_gathering(bucket);
  }
  finish_gatherings();
}

void Reducer::State::average_blocks() {
  const at::NoGradGuard no_grad;
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    wait_for_averages(bucket);
    const Bucket& memory = *buckets[bucket].memory;
    buckets[bucket].work = communicator->all_gather(memory.blocks(), memory.block());
  }
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) wait_for(bucket);
  for (std::size_t i = 0; i < parameters.size(); ++i)
    parameters[i].mutable_grad() = buckets[slots[i].bucket].memory->view(slots[i].index);
}

// In the order of memory, as the bucket has them.
at::Tensor Reducer::State::elements_of(const BlockPart& part) const {
  const at::Tensor& parameter = parameters[static_cast<std::size_t>(part.parameter)];
  return parameter.detach().as_strided({parameter.numel()}, {1}).narrow(0, part.begin, part.count);
}

// A block's averages have served by now, so its memory takes the parameters that come of them.
void Reducer::State::start_gathering(std::size_t bucket) {
  Gathering& gathering = gatherings[bucket % gatherings.size()];
  finish_gathering(gathering);
  const at::NoGradGuard no_grad;
  const Bucket& memory = *buckets[bucket].memory;
  for (const BlockPart& part : memory.parts_of_block(communicator->rank())) {
    memory.block().narrow(0, part.offset, part.count).copy_(elements_of(part));
  }
  gathering.bucket = bucket;
  gathering.blocks = gathering.memory.narrow(0, 0, static_cast<std::int64_t>(memory.blocks().nbytes()))
                         .view(memory.blocks().scalar_type());
  gathering.work = communicator->all_gather(gathering.blocks, memory.block());
}

void Reducer::State::finish_gathering(Gathering& gathering) {
  if (!gathering.work) return;
  const auto begin = std::chrono::steady_clock::now();
  {
    const TraceSpan span(trace, "wait", "wait for parameters");
    gathering.work->wait();
  }
  times.exposed_wait_s += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  gathering.work = nullptr;
  const at::NoGradGuard no_grad;
  const Bucket& memory = *buckets[gathering.bucket].memory;
  for (int rank = 0; rank < communicator->world_size(); ++rank) {
    if (rank == communicator->rank()) continue;
    const at::Tensor block =
        gathering.blocks.narrow(0, rank * memory.block().numel(), memory.block().numel());
    for (const BlockPart& part : memory.parts_of_block(rank))
      elements_of(part).copy_(block.narrow(0, part.offset, part.count));
  }
}

void Reducer::State::finish_gatherings() {
  for (std::size_t i = 0; i < gatherings.size(); ++i)  // the older one first
    finish_gathering(gatherings[(buckets.size() + i) % gatherings.size()]);
}

}  // namespace lockstep
