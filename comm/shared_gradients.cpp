#include "comm/shared_gradients.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <stdexcept>

#include "comm/fold.h"
#include "comm/reduction.h"

namespace lockstep {
namespace {

constexpr std::int64_t kTileBytes = 16 << 10;  // stays in the first-level cache on the way to its visitor
constexpr std::int64_t kCacheLineBytes = 64;

std::vector<std::int64_t> sizes_of(const std::vector<at::Tensor>& parameters) {
  std::vector<std::int64_t> bytes;
  for (const at::Tensor& parameter : parameters)
    bytes.push_back(static_cast<std::int64_t>(parameter.nbytes()));
  return bytes;
}

std::int64_t element_bytes_of(const at::Tensor& tensor) {
  return static_cast<std::int64_t>(tensor.element_size());
}

}  // namespace

std::unique_ptr<SharedGradients> SharedGradients::create(const std::vector<at::Tensor>& parameters,
                                                         const CommunicatorPtr& communicator,
                                                         int logical_ranks) {
  auto shared = std::dynamic_pointer_cast<SharedMemoryCommunicator>(communicator);
  const auto fits = [](const at::Tensor& parameter) {
    return parameter.is_cpu() && parameter.is_floating_point() && parameter.is_non_overlapping_and_dense();
  };
  if (!shared || !std::all_of(parameters.begin(), parameters.end(), fits)) return nullptr;
  return std::unique_ptr<SharedGradients>(new SharedGradients(parameters, std::move(shared), logical_ranks));
}

SharedGradients::SharedGradients(std::vector<at::Tensor> parameters,
                                 std::shared_ptr<SharedMemoryCommunicator> communicator, int logical_ranks)
    : parameters_(std::move(parameters)),
      logical_ranks_(logical_ranks),
      communicator_(std::move(communicator)),
      memory_(communicator_->memory(), sizes_of(parameters_)),
      slots_(static_cast<std::size_t>(logical_ranks), std::vector<at::Tensor>(parameters_.size())),
      places_(parameters_.size()),
      tile_(kTileBytes) {
  const SharedMemory& memory = *communicator_->memory();
  table_ = communicator_->memory()->allocate_tensor(
      {logical_ranks_, static_cast<std::int64_t>(parameters_.size())}, at::TensorOptions().dtype(at::kLong));
  if (!table_.defined()) throw std::runtime_error("no shared memory left for gradients");
  table_.zero_();
  for (std::vector<at::Tensor>& slots : slots_) make_small_slots(slots);
  std::vector<ParameterSize> sizes;
  for (const at::Tensor& parameter : parameters_)
    sizes.push_back({parameter.numel(), element_bytes_of(parameter)});
  plan_ = plan_shards(sizes, memory.world_size());
}

// Those of small gradients lie together.
void SharedGradients::make_small_slots(std::vector<at::Tensor>& slots) const {
  const auto slot_bytes = [](const at::Tensor& parameter) -> std::int64_t {
    const auto bytes = static_cast<std::int64_t>(parameter.nbytes());
    return bytes < GradientMemory::kSmallestBytes
               ? (bytes + kCacheLineBytes - 1) / kCacheLineBytes * kCacheLineBytes
               : 0;
  };
  std::int64_t all_bytes = 0;
  for (const at::Tensor& parameter : parameters_) all_bytes += slot_bytes(parameter);
  const at::Tensor small = communicator_->memory()->allocate_tensor({all_bytes}, at::kByte);
  if (!small.defined()) throw std::runtime_error("no shared memory left for gradients");
  auto* next = static_cast<std::byte*>(small.data_ptr());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::int64_t bytes = slot_bytes(parameters_[i]);
    if (bytes == 0) continue;
    slots[i] = at::from_blob(
        next, parameters_[i].sizes(), parameters_[i].strides(), [small](void*) {},
        parameters_[i].options().requires_grad(false));
    next += bytes;
  }
}

void SharedGradients::use_assignment(const BucketAssignment& assignment) {
  for (const auto& bucket : assignment) {
    std::int64_t elements = 0;
    for (const std::int64_t index : bucket) elements += parameters_[static_cast<std::size_t>(index)].numel();
    std::int64_t offset = 0;
    for (const std::int64_t index : bucket) {
      places_[static_cast<std::size_t>(index)] = {offset, elements};
      offset += parameters_[static_cast<std::size_t>(index)].numel();
    }
  }
}

void SharedGradients::begin() {
  memory_.activate();
}

// Made when it is first needed: most large gradients never are.
at::Tensor SharedGradients::slot(std::size_t parameter) {
  at::Tensor& slot = slots_[static_cast<std::size_t>(logical_rank_)][parameter];
  if (!slot.defined()) {
    const at::Tensor& like = parameters_[parameter];
    const at::Tensor flat =
        communicator_->memory()->allocate_tensor({like.numel()}, like.options().requires_grad(false));
    if (!flat.defined()) throw std::runtime_error("no shared memory left for gradients");
    slot = flat.as_strided(like.sizes(), like.strides());
  }
  return slot;
}

void SharedGradients::add(std::size_t parameter) {
  at::Tensor& gradient = parameters_[parameter].mutable_grad();
  const SharedMemory& memory = *communicator_->memory();
  const bool is_shared =
      gradient.scalar_type() == parameters_[parameter].scalar_type() &&
      gradient.strides() == parameters_[parameter].strides() &&
      memory.contains(gradient.const_data_ptr(), static_cast<std::int64_t>(gradient.nbytes()));
  if (!is_shared) {
    const at::Tensor copy = slot(parameter);
    copy.copy_(gradient);
    gradient = copy.variable_data();  // to autograd no view, so that zero_grad() may detach it in place
  }
  const std::size_t row = static_cast<std::size_t>(logical_rank_) * parameters_.size();
  table_.mutable_data_ptr<std::int64_t>()[row + parameter] = memory.offset_of(gradient.const_data_ptr());
}

void SharedGradients::next_logical_rank() {
  for (const at::Tensor& parameter : parameters_) {
    held_.push_back(std::move(parameter.mutable_grad()));
    parameter.mutable_grad().reset();
  }
  ++logical_rank_;
}

// A shard as fold_ranks() is to see it. To that its bucket is one tensor, so it gets pointers to where the
// bucket's first element would be.
struct SharedGradients::Fold {
  std::vector<void*> outputs;       // every rank's .grad
  std::vector<const void*> inputs;  // by logical rank
  std::int64_t element_bytes;
  std::int64_t offset;  // of the parameter in its bucket, elements
  RingChunks chunks;
  FoldOptions options;

  void in_place(std::int64_t begin, std::int64_t end) const {
    fold_ranks(outputs, inputs, offset + begin, offset + end, chunks, options);
  }
  void into(void* tile, std::int64_t begin, std::int64_t end) const {
    void* const output = static_cast<std::byte*>(tile) - (offset + begin) * element_bytes;
    fold_ranks({&output, 1}, inputs, offset + begin, offset + end, chunks, options);
  }
};

SharedGradients::Fold SharedGradients::prepare(const Shard& shard, std::span<std::byte* const> tables) const {
  const auto index = static_cast<std::size_t>(shard.parameter);
  const at::Tensor& parameter = parameters_[index];
  const Place& place = places_[index];
  const SharedMemory& memory = *communicator_->memory();
  const int world_size = static_cast<int>(tables.size()) * logical_ranks_;
  const std::int64_t element_bytes = element_bytes_of(parameter);
  Fold fold{{},
            {},
            element_bytes,
            place.offset,
            ring_chunks(place.bucket_elements, element_bytes, world_size),
            {.dtype = parameter.scalar_type(),
             .order = communicator_->reduction_order(),
             .scale = 1.0 / world_size}};
  for (std::size_t r = 0; r < tables.size(); ++r) {
    std::byte* gradient = nullptr;
    for (int l = 0; l < logical_ranks_; ++l) {
      const auto offset = reinterpret_cast<const std::int64_t*>(
          tables[r])[static_cast<std::size_t>(l) * parameters_.size() + index];
      gradient = memory.at(static_cast<int>(r), offset) - place.offset * element_bytes;
      fold.inputs.push_back(gradient);
    }
    fold.outputs.push_back(gradient);  // of the last logical rank
  }
  return fold;
}

// Ranks that disagree on what they average are told so.
std::int64_t SharedGradients::tag() const {
  std::int64_t elements = 0;
  for (const at::Tensor& parameter : parameters_) elements += parameter.numel();
  return elements * logical_ranks_;
}

const std::vector<Shard>& SharedGradients::shards() const {
  return plan_[static_cast<std::size_t>(communicator_->rank())];
}

void SharedGradients::exchange(const SharedMemoryCommunicator::Body& body) {
  communicator_->exchange(tag(), table_.const_data_ptr(), body)->wait();
  std::int64_t bytes = 0;
  for (const Shard& shard : shards())
    bytes += shard.size() * element_bytes_of(parameters_[static_cast<std::size_t>(shard.parameter)]);
  // The peers' gradients came from them; the averages went to them.
  communicator_->add_bytes_sent((logical_ranks_ + 1) * bytes * (communicator_->world_size() - 1));
  held_.clear();
  logical_rank_ = 0;
}

void SharedGradients::average() {
  memory_.deactivate();
  if (communicator_->world_size() * logical_ranks_ == 1) return;
  exchange([this](std::span<std::byte* const> tables) {
    for (const Shard& shard : shards()) prepare(shard, tables).in_place(shard.begin, shard.end);
  });
}

void SharedGradients::visit_shards(const Visitor& visit) {
  memory_.deactivate();
  exchange([&](std::span<std::byte* const> tables) {
    for (std::size_t s = 0; s < shards().size(); ++s) {
      const Shard& shard = shards()[s];
      const Fold fold = prepare(shard, tables);
      const std::int64_t tile = kTileBytes / fold.element_bytes;
      for (std::int64_t begin = shard.begin; begin < shard.end; begin += tile) {
        const std::int64_t end = std::min(shard.end, begin + tile);
        fold.into(tile_.data(), begin, end);
        visit(s, begin, tile_.data(), end - begin);
      }
    }
  });
}

}  // namespace lockstep
