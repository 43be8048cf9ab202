// What a ShardedOptimizer remembers, copied once: every rank puts its shards where a checkpoint is written
// from.
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "trainer/optim/sharded_optimizer.h"

namespace lockstep {
namespace {

constexpr std::int64_t kLineBytes = 64;

std::int64_t in_lines(std::int64_t bytes) {
  return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
}

}  // namespace

// Where each tensor lies in the block, by parameter and kind: -1 where no rank has it. The same on all ranks.
struct ShardedOptimizer::SnapshotLayout {
  std::vector<std::int64_t> offsets;
  std::int64_t bytes = 0;
};

ShardedOptimizer::SnapshotLayout ShardedOptimizer::snapshot_layout(
    const std::vector<OptimizerStateEntry>& own) const {
  const auto& kinds = shards_optimizer_->memory_kinds();
  const auto& shards = plan_[static_cast<std::size_t>(communicator_->rank())];
  const at::Tensor has = at::zeros({static_cast<std::int64_t>(parameters_.size() * kinds.size())},
                                   at::TensorOptions().dtype(at::kInt));
  auto* there = has.mutable_data_ptr<std::int32_t>();
  for (const OptimizerStateEntry& entry : own) {
    if (static_cast<std::size_t>(entry.parameter_index) >= shards.size()) continue;  // a stand-in
    const auto parameter =
        static_cast<std::size_t>(shards[static_cast<std::size_t>(entry.parameter_index)].parameter);
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      if (entry.name == kinds[k].name) there[parameter * kinds.size() + k] = 1;
    }
  }
  communicator_->all_reduce(has, ReduceOp::kMax)->wait();
  SnapshotLayout layout;
  for (std::size_t cell = 0; cell < parameters_.size() * kinds.size(); ++cell) {
    layout.offsets.push_back(there[cell] != 0 ? layout.bytes : -1);
    if (there[cell] == 0) continue;
    const at::Tensor& parameter = parameters_[cell / kinds.size()];
    const bool per_element = kinds[cell % kinds.size()].per_element;
    layout.bytes += in_lines(per_element ? static_cast<std::int64_t>(parameter.nbytes())
                                         : static_cast<std::int64_t>(sizeof(float)));
  }
  return layout;
}

// In rank 0's segment, as large as it has to be; null on all ranks where there is no room for it.
std::byte* ShardedOptimizer::snapshot_block(std::int64_t bytes) {
  const std::shared_ptr<SharedMemory>& memory = shared_->memory();
  const at::Tensor place = at::zeros({1}, at::TensorOptions().dtype(at::kLong));
  if (shared_->rank() == 0) {
    if (!snapshot_.defined() || snapshot_.numel() < bytes) {
      snapshot_ = {};
      snapshot_ = memory->allocate_tensor({std::max<std::int64_t>(1, bytes)}, at::kByte);
    }
    place.fill_(snapshot_.defined() ? memory->offset_of(snapshot_.const_data_ptr()) : -1);
  }
  shared_->broadcast(place, 0)->wait();
  const std::int64_t offset = place.item<std::int64_t>();
  return offset < 0 ? nullptr : memory->at(0, offset);
}

std::vector<OptimizerStateEntry> ShardedOptimizer::snapshot_state() {
  if (!shared_) return state();
  const std::vector<OptimizerStateEntry> own = shards_optimizer_->state();
  const SnapshotLayout layout = snapshot_layout(own);
  std::byte* const base = snapshot_block(layout.bytes);
  if (base == nullptr) return state();
  const auto& kinds = shards_optimizer_->memory_kinds();
  const auto& shards = plan_[static_cast<std::size_t>(communicator_->rank())];
  for (const OptimizerStateEntry& entry : own) {
    if (static_cast<std::size_t>(entry.parameter_index) >= shards.size()) continue;
    const Shard& shard = shards[static_cast<std::size_t>(entry.parameter_index)];
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      if (entry.name != kinds[k].name) continue;
      const auto parameter = static_cast<std::size_t>(shard.parameter);
      std::byte* to = base + layout.offsets[parameter * kinds.size() + k];
      // Of a counter all shards of a parameter have the same.
      if (kinds[k].per_element) to += shard.begin * static_cast<std::int64_t>(entry.value.element_size());
      const at::Tensor value = entry.value.contiguous();
      std::memcpy(to, value.const_data_ptr(), value.nbytes());
    }
  }
  shared_->barrier();
  std::vector<OptimizerStateEntry> entries;
  for (std::size_t cell = 0; cell < layout.offsets.size(); ++cell) {
    if (layout.offsets[cell] < 0) continue;
    const std::size_t index = cell / kinds.size();
    const OptimizerMemory& kind = kinds[cell % kinds.size()];
    const at::Tensor& parameter = parameters_[index];
    const auto keep = [block = snapshot_, memory = shared_->memory()](void*) {};
    std::byte* const from = base + layout.offsets[cell];
    entries.push_back({static_cast<std::int64_t>(index), kind.name,
                       kind.per_element ? at::from_blob(from, parameter.sizes(), parameter.strides(), keep,
                                                        parameter.options().requires_grad(false))
                                        : at::from_blob(from, at::IntArrayRef{}, keep,
                                                        at::TensorOptions().dtype(at::kFloat))});
  }
  return entries;
}

}  // namespace lockstep
