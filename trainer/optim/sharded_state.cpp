// What a ShardedOptimizer remembers, whole: for checkpoints, and for shards that move to other ranks.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <map>

#include "comm/module_state.h"
#include "trainer/optim/sharded_optimizer.h"

namespace lockstep {
namespace {

// Of whole tensors on their way, as many lie on each rank, or a single larger one.
constexpr std::int64_t kBatchBytes = 8 << 20;

}  // namespace

// What this rank remembers of one of its shards.
struct ShardedOptimizer::OwnPart {
  Shard shard;
  std::size_t kind = 0;
  std::size_t cell = 0;  // of the shard's parameter and the kind, parameter by parameter
  at::Tensor value;
};

std::vector<ShardedOptimizer::OwnPart> ShardedOptimizer::own_parts() const {
  std::vector<OwnPart> parts;
  for (const OptimizerStateEntry& entry : shards_optimizer_->state()) {
    if (static_cast<std::size_t>(entry.parameter_index) >= own_shards().size()) continue;  // a stand-in
    const Shard& shard = own_shards()[static_cast<std::size_t>(entry.parameter_index)];
    const std::size_t kind = kind_of(entry);
    const std::size_t kinds = shards_optimizer_->memory_kinds().size();
    parts.push_back({shard, kind, static_cast<std::size_t>(shard.parameter) * kinds + kind, entry.value});
  }
  return parts;
}

// Of each cell, whether a rank has something. The same on all ranks.
std::vector<bool> ShardedOptimizer::remembered_cells(const std::vector<OwnPart>& own) const {
  const auto& kinds = shards_optimizer_->memory_kinds();
  if (kinds.empty()) return {};
  const at::Tensor has = at::zeros({static_cast<std::int64_t>(parameters_.size() * kinds.size())},
                                   at::TensorOptions().dtype(at::kInt));
  auto* there = has.mutable_data_ptr<std::int32_t>();
  for (const OwnPart& part : own) there[part.cell] = 1;
  communicator_->all_reduce(has, ReduceOp::kMax)->wait();
  return std::vector<bool>(there, there + has.numel());
}

std::size_t ShardedOptimizer::kind_of(const OptimizerStateEntry& entry) const {
  const auto& kinds = shards_optimizer_->memory_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const OptimizerMemory& known) { return entry.name == known.name; });
  return static_cast<std::size_t>(kind - kinds.begin());
}

// Where each cell lies in the block: -1 where no rank has it. The same on all ranks.
struct ShardedOptimizer::SnapshotLayout {
  std::vector<std::int64_t> offsets;
  std::int64_t bytes = 0;
};

ShardedOptimizer::SnapshotLayout ShardedOptimizer::snapshot_layout(const std::vector<OwnPart>& own) const {
  const auto& kinds = shards_optimizer_->memory_kinds();
  const std::vector<bool> there = remembered_cells(own);
  SnapshotLayout layout;
  for (std::size_t cell = 0; cell < there.size(); ++cell) {
    layout.offsets.push_back(there[cell] ? layout.bytes : -1);
    if (!there[cell]) continue;
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
      snapshot_ = at::Tensor();
      snapshot_ = memory->allocate_tensor({std::max<std::int64_t>(1, bytes)}, at::kByte);
    }
    place.fill_(snapshot_.defined() ? memory->offset_of(snapshot_.const_data_ptr()) : -1);
  }
  shared_->broadcast(place, 0)->wait();
  const std::int64_t offset = place.item<std::int64_t>();
  return offset < 0 ? nullptr : memory->at(0, offset);
}

std::vector<OptimizerStateEntry> ShardedOptimizer::snapshot_state(const CopyEntry& copy) {
  if (!shared_) return gathered_snapshot(copy);
  const std::vector<OwnPart> own = own_parts();
  const SnapshotLayout layout = snapshot_layout(own);
  std::byte* const base = snapshot_block(layout.bytes);
  if (base == nullptr) return gathered_snapshot(copy);
  const auto& kinds = shards_optimizer_->memory_kinds();
  for (const OwnPart& part : own) {
    std::byte* to = base + layout.offsets[part.cell];
    // Of a counter all shards of a parameter have the same.
    if (kinds[part.kind].per_element)
      to += part.shard.begin * static_cast<std::int64_t>(part.value.element_size());
    const at::Tensor value = part.value.contiguous();
    std::memcpy(to, value.const_data_ptr(), value.nbytes());
  }
  shared_->barrier();
  std::vector<OptimizerStateEntry> entries;
  if (communicator_->rank() != 0) return entries;
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

std::vector<OptimizerStateEntry> ShardedOptimizer::gathered_snapshot(const CopyEntry& copy) {
  std::vector<OptimizerStateEntry> entries;
  visit_state([&](const OptimizerStateEntry& whole) {
    if (communicator_->rank() == 0) entries.push_back({whole.parameter_index, whole.name, copy(whole)});
  });
  return entries;
}

// Calls `visit` with what is remembered of each parameter, put together from all its shards, in the same
// order on all ranks. A collective, of a batch of tensors at a time.
void ShardedOptimizer::visit_state(const std::function<void(const OptimizerStateEntry&)>& visit) const {
  const at::NoGradGuard no_grad;
  const auto& kinds = shards_optimizer_->memory_kinds();
  const std::vector<OwnPart> own = own_parts();
  const std::vector<bool> there = remembered_cells(own);
  std::map<std::size_t, at::Tensor> batch;  // by cell
  std::int64_t bytes = 0;
  for (std::size_t cell = 0; cell < there.size(); ++cell) {
    if (there[cell]) {
      const at::Tensor like = parameters_[cell / kinds.size()].detach();
      at::Tensor& whole = batch[cell];
      whole = kinds[cell % kinds.size()].per_element ? at::zeros_like(like)
                                                     : at::zeros({}, like.options().dtype(at::kFloat));
      bytes += static_cast<std::int64_t>(whole.nbytes());
    }
    if (bytes < kBatchBytes && cell + 1 < there.size()) continue;
    put_together(own, batch);
    for (const auto& [done, whole] : batch)
      visit({static_cast<std::int64_t>(done / kinds.size()), kinds[done % kinds.size()].name, whole});
    batch.clear();
    bytes = 0;
  }
}

// Every rank sends its shards of the tensors in `batch` to all others.
void ShardedOptimizer::put_together(const std::vector<OwnPart>& own,
                                    const std::map<std::size_t, at::Tensor>& batch) const {
  const auto& kinds = shards_optimizer_->memory_kinds();
  const auto place = [&](const Shard& shard, std::size_t k) {
    const auto whole = batch.find(static_cast<std::size_t>(shard.parameter) * kinds.size() + k);
    if (whole == batch.end()) return at::Tensor();
    return kinds[k].per_element ? shard_of(whole->second, shard) : whole->second;
  };
  for (const OwnPart& part : own) {
    const at::Tensor to = place(part.shard, part.kind);
    if (to.defined()) to.copy_(part.value);
  }
  for (int root = 0; root < communicator_->world_size(); ++root) {
    std::vector<at::Tensor> parts;
    for (const Shard& shard : plan_[static_cast<std::size_t>(root)]) {
      for (std::size_t k = 0; k < kinds.size(); ++k) {
        const at::Tensor part = place(shard, k);
        if (part.defined()) parts.push_back(part);
      }
    }
    broadcast_tensors(parts, *communicator_, root);
  }
}

std::vector<OptimizerStateEntry> ShardedOptimizer::state() {
  std::vector<OptimizerStateEntry> entries;
  visit_state([&](const OptimizerStateEntry& whole) { entries.push_back(whole); });
  return entries;
}

// What `shards` have of `whole`, in memory of its own, by the shards' numbers.
void ShardedOptimizer::add_shards_of(const OptimizerStateEntry& whole, const std::vector<Shard>& shards,
                                     std::vector<OptimizerStateEntry>& entries) const {
  const bool per_element = shards_optimizer_->memory_kinds()[kind_of(whole)].per_element;
  const at::Tensor& like = parameters_[static_cast<std::size_t>(whole.parameter_index)];
  for (std::size_t s = 0; s < shards.size(); ++s) {
    if (shards[s].parameter != whole.parameter_index) continue;
    const at::Tensor value =
        per_element ? shard_of(at::empty_like(like.detach()).copy_(whole.value), shards[s]).clone()
                    : whole.value;
    entries.push_back({static_cast<std::int64_t>(s), whole.name, value});
  }
}

void ShardedOptimizer::load_state(const std::vector<OptimizerStateEntry>& entries) {
  if (buckets_have_changed()) follow_buckets();  // those of a checkpoint
  shards_optimizer_->check_state(entries, parameters_);
  std::vector<OptimizerStateEntry> own;
  for (const OptimizerStateEntry& entry : entries) add_shards_of(entry, own_shards(), own);
  shards_optimizer_->load_state(own);
  remembers_ = !entries.empty();
}

void ShardedOptimizer::move_with_buckets() {
  const auto& shards = reducer_.shard_plan()[static_cast<std::size_t>(communicator_->rank())];
  std::vector<OptimizerStateEntry> own;
  bool remembers = false;
  visit_state([&](const OptimizerStateEntry& whole) {
    add_shards_of(whole, shards, own);
    remembers = true;
  });
  follow_buckets();
  shards_optimizer_->load_state(own);
  remembers_ = remembers;
}

}  // namespace lockstep
