#include "comm/bucket.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

#include "comm/reduction.h"

namespace lockstep {

BucketAssignment assign_buckets(const std::vector<at::Tensor>& parameters,
                                const std::vector<std::int64_t>& order,
                                const std::vector<std::int64_t>& caps_bytes) {
  if (caps_bytes.empty()) throw std::invalid_argument("bucket caps: at least one is needed");
  for (const std::int64_t cap : caps_bytes) {
    if (cap < 1)
      throw std::invalid_argument("bucket cap " + std::to_string(cap) + " bytes: must be at least 1");
  }
  struct OpenBucket {
    std::vector<std::int64_t> indices;
    std::int64_t bytes = 0;
    std::size_t cap = 0;  // PyTorch advances the list of caps for each dtype and device by itself
  };
  using Kind = std::pair<at::ScalarType, std::string>;
  std::map<Kind, OpenBucket> open;
  std::vector<Kind> kinds;  // in order of first use
  BucketAssignment buckets;
  for (const std::int64_t index : order) {
    const at::Tensor& parameter = parameters.at(static_cast<std::size_t>(index));
    const Kind kind = {parameter.scalar_type(), parameter.device().str()};
    const auto [found, is_new] = open.try_emplace(kind);
    if (is_new) kinds.push_back(kind);
    OpenBucket& bucket = found->second;
    bucket.indices.push_back(index);
    bucket.bytes += static_cast<std::int64_t>(parameter.nbytes());
    if (bucket.bytes >= caps_bytes[bucket.cap]) {
      buckets.push_back(std::move(bucket.indices));
      bucket = {{}, 0, std::min(bucket.cap + 1, caps_bytes.size() - 1)};
    }
  }
  for (const Kind& kind : kinds) {
    if (!open[kind].indices.empty()) buckets.push_back(std::move(open[kind].indices));
  }
  return buckets;
}

Bucket::Bucket(const std::vector<at::Tensor>& parameters, std::vector<std::int64_t> parameter_indices,
               Communicator& communicator, int logical_ranks, BucketLayout layout)
    : parameter_indices_(std::move(parameter_indices)) {
  const at::Tensor& first = parameters.at(static_cast<std::size_t>(parameter_indices_.at(0)));
  std::int64_t elements = 0;
  for (const std::int64_t index : parameter_indices_)
    elements += parameters.at(static_cast<std::size_t>(index)).numel();
  const at::TensorOptions options = first.options().requires_grad(false);
  if (layout == BucketLayout::kBlocks) {
    if (logical_ranks != 1) throw std::invalid_argument("blocks of a bucket are for one logical rank");
    const int ranks = communicator.world_size();
    const RingChunks chunks = ring_chunks(elements, static_cast<std::int64_t>(first.element_size()), ranks);
    blocks_ = communicator.allocate({ranks * chunks.chunk_elements}, options).zero_();
    block_ = communicator.allocate({chunks.chunk_elements}, options).zero_();
    rows_ = blocks_.narrow(0, 0, elements).view({1, elements});
  } else {
    rows_ = communicator.allocate({logical_ranks, elements}, options).zero_();
  }
  flat_ = rows_[logical_ranks - 1];
  for (int row = 0; row < logical_ranks; ++row) {
    std::vector<at::Tensor>& views = views_.emplace_back();
    std::int64_t offset = 0;
    for (const std::int64_t index : parameter_indices_) {
      const at::Tensor& parameter = parameters[static_cast<std::size_t>(index)];
      at::Tensor part = rows_[row].narrow(0, offset, parameter.numel());
      // In the parameter's own order in memory, as autograd makes gradients, so that they are used as they
      // are.
      part = parameter.is_non_overlapping_and_dense()
                 ? part.as_strided(parameter.sizes(), parameter.strides(), part.storage_offset())
                 : part.view(parameter.sizes());
      // To autograd no view, since zero_grad() detaches gradients in place, which views do not allow.
      views.push_back(part.variable_data());
      offset += parameter.numel();
    }
  }
}

std::vector<BlockPart> Bucket::parts_of_block(int rank) const {
  const std::int64_t block_begin = rank * block_.numel();
  const std::int64_t block_end = block_begin + block_.numel();
  std::vector<BlockPart> parts;
  std::int64_t offset = 0;  // of the parameter in the bucket
  for (std::size_t i = 0; i < parameter_indices_.size(); ++i) {
    const std::int64_t elements = view(i).numel();
    const std::int64_t begin = std::max(offset, block_begin);
    const std::int64_t end = std::min(offset + elements, block_end);
    if (begin < end)
      parts.push_back({parameter_indices_[i], begin - offset, end - begin, begin - block_begin});
    offset += elements;
  }
  return parts;
}

}  // namespace lockstep
