// torch.utils.data.DistributedSampler's algorithm (PyTorch 2.11, torch/utils/data/distributed.py), without
// its lists: position i of the padded order is order[i mod N].
#include "sampler/distributed_sampler.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/randperm.h>

#include <stdexcept>
#include <string>

namespace lockstep {

DistributedSampler::DistributedSampler(std::int64_t dataset_size, int world_size, int rank,
                                       DistributedSamplerOptions options)
    : dataset_size_(dataset_size), world_size_(world_size), rank_(rank), options_(options) {
  if (dataset_size < 1) {
    throw std::invalid_argument("DistributedSampler: there are " + std::to_string(dataset_size) +
                                " samples; at least 1 is needed");
  }
  if (world_size < 1 || rank < 0 || rank >= world_size) {
    throw std::invalid_argument("DistributedSampler: rank " + std::to_string(rank) + " of " +
                                std::to_string(world_size) + " does not exist; ranks count from 0");
  }
  if (options.drop_last && dataset_size < world_size) {
    throw std::invalid_argument(
        "DistributedSampler: " + std::to_string(dataset_size) + " samples leave none for each of " +
        std::to_string(world_size) +
        " ranks when the remainder is dropped; use fewer ranks, or keep the remainder");
  }
  samples_per_rank_ = dataset_size / world_size;
  if (!options.drop_last && dataset_size % world_size != 0) ++samples_per_rank_;
}

std::vector<std::int64_t> DistributedSampler::indices(std::int64_t epoch) const {
  if (epoch < 0) {
    throw std::invalid_argument("DistributedSampler: epoch " + std::to_string(epoch) + " is negative");
  }
  at::Tensor order;  // none: 0, 1, 2, ...
  if (options_.shuffle) {
    const auto generator = at::detail::createCPUGenerator(options_.seed + static_cast<std::uint64_t>(epoch));
    order = at::randperm(dataset_size_, generator, at::TensorOptions().dtype(at::kLong));
  }
  const std::int64_t* positions = order.defined() ? order.const_data_ptr<std::int64_t>() : nullptr;

  std::vector<std::int64_t> result(static_cast<std::size_t>(samples_per_rank_));
  for (std::int64_t k = 0; k < samples_per_rank_; ++k) {
    const std::int64_t position = (rank_ + k * world_size_) % dataset_size_;
    result[static_cast<std::size_t>(k)] = positions != nullptr ? positions[position] : position;
  }
  return result;
}

}  // namespace lockstep
