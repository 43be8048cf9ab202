// Averages that are left to whoever updates shards, where ranks do not share memory: each bucket is
// reduce-scattered in the backward pass, updated block by block, and the parameters travel back bucket by
// bucket.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "comm/device_trace.h"
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
  for (const ActiveBucket& active : buckets) {
    for (std::size_t rank = 0; rank < plan.size(); ++rank) {
      for (const BlockPart& part : active.memory->parts_of_block(static_cast<int>(rank)))
        plan[rank].push_back({part.parameter, part.begin, part.begin + part.count});
    }
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

void Reducer::State::visit_buckets(const BucketVisitor& visit) {
  const int rank = communicator->rank();
  std::size_t shard = 0;
  for (std::size_t bucket = 0; bucket < buckets.size(); ++bucket) {
    wait_for_averages(bucket);
    const Bucket& memory = *buckets[bucket].memory;
    std::vector<ShardAverage> averages;
    for (const BlockPart& part : memory.parts_of_block(rank))
      averages.push_back({shard++, memory.block().narrow(0, part.offset, part.count)});
    visit(averages);
    if (!overlaps_gathering) start_gathering(bucket);
  }
  if (!overlaps_gathering) finish_gatherings();
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

// A forward pass begins with the parameters whose gradients come last, and those lie in the last buckets.
void Reducer::State::gather_parameters() {
  for (std::size_t i = 0; i < buckets.size(); ++i) start_gathering(gathered_as(i));
  if (!overlaps_gathering) return finish_gatherings();
  watch_parameters();
}

std::size_t Reducer::State::gathered_as(std::size_t i) const {
  return overlaps_gathering ? buckets.size() - 1 - i : i;
}

// The bucket's averages have served by now, so its memory takes the parameters that come of them.
void Reducer::State::start_gathering(std::size_t bucket) {
  ActiveBucket& active = buckets[bucket];
  const at::NoGradGuard no_grad;
  const Bucket& memory = *active.memory;
  for (const std::int64_t parameter : active.parameters)
    parameters[static_cast<std::size_t>(parameter)].mutable_grad().reset();
  std::vector<at::Tensor> places, elements;
  for (const BlockPart& part : memory.parts_of_block(communicator->rank())) {
    places.push_back(memory.block().narrow(0, part.offset, part.count));
    elements.push_back(elements_of(part));
  }
  if (!places.empty()) at::_foreach_copy_(places, elements);
  if (trace != nullptr) active.gathering_begin_ns = TraceRecorder::now_ns();
  const TracedBucket traced(trace, bucket);
  active.gathering = communicator->all_gather(memory.blocks(), memory.block());
  ++gatherings_left;
}

void Reducer::State::finish_gathering(std::size_t bucket) {
  ActiveBucket& active = buckets[bucket];
  if (!active.gathering) return;
  --gatherings_left;
  const WorkPtr work = std::exchange(active.gathering, nullptr);
  const auto begin = std::chrono::steady_clock::now();
  {
    const TraceSpan span(trace, "wait", "wait for parameters");
    work->wait();
  }
  gathering_wait_s += seconds_since(begin);
  if (trace != nullptr && active.gathering_begin_ns > 0) {
    trace->add({.name = "gathering",
                .category = "bucket",
                .line = 1 + static_cast<int>(bucket),
                .begin_ns = active.gathering_begin_ns,
                .duration_ns = TraceRecorder::now_ns() - active.gathering_begin_ns,
                .bytes = static_cast<std::int64_t>(active.memory->flat().nbytes())});
  }
  active.gathering_begin_ns = 0;
  const at::NoGradGuard no_grad;
  const Bucket& memory = *active.memory;
  const std::int64_t block_elements = memory.block().numel();
  std::vector<at::Tensor> places, elements;
  for (int rank = 0; rank < communicator->world_size(); ++rank) {
    if (rank == communicator->rank()) continue;
    const at::Tensor block = memory.blocks().narrow(0, rank * block_elements, block_elements);
    for (const BlockPart& part : memory.parts_of_block(rank)) {
      places.push_back(elements_of(part));
      elements.push_back(block.narrow(0, part.offset, part.count));
    }
  }
  if (!places.empty()) at::_foreach_copy_(places, elements);
}

// After an error the parameters are worth nothing, here or on some other rank.
void Reducer::State::finish_gatherings() {
  try {
    for (std::size_t i = 0; i < buckets.size() && gatherings_left > 0; ++i) finish_gathering(gathered_as(i));
  } catch (...) {
    fail_gatherings();
  }
  if (gathering_error) std::rethrow_exception(gathering_error);
}

// In a handler.
void Reducer::State::fail_gatherings() {
  gathering_error = std::current_exception();
  gatherings_left = 0;
  for (ActiveBucket& active : buckets) active.gathering = nullptr;
}

void Reducer::State::watch_parameters() {
  buckets_in.clear();
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    auto& list = buckets_in[parameters[i].storage().unsafeGetStorageImpl()];
    if (list.empty() || list.back() != slots[i].bucket) list.push_back(slots[i].bucket);
  }
  watch_reads(weak_from_this());
}

// The operation goes on with what it finds; the backward pass, or whoever waits for the parameters, throws.
void Reducer::State::before_read(const c10::StorageImpl* storage) noexcept {
  if (gatherings_left == 0) return;
  const auto found = buckets_in.find(storage);
  if (found == buckets_in.end()) return;
  try {
    for (const std::size_t bucket : found->second) finish_gathering(bucket);
  } catch (...) {
    fail_gatherings();
  }
}

}  // namespace lockstep
