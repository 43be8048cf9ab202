#include "comm/bucket.h"

#include <map>
#include <stdexcept>
#include <string>
#include <utility>

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
               Communicator& communicator, int logical_ranks)
    : parameter_indices_(std::move(parameter_indices)) {
  const at::Tensor& first = parameters.at(static_cast<std::size_t>(parameter_indices_.at(0)));
  std::int64_t elements = 0;
  for (const std::int64_t index : parameter_indices_)
    elements += parameters.at(static_cast<std::size_t>(index)).numel();
  rows_ = communicator.allocate({logical_ranks, elements}, first.options().requires_grad(false)).zero_();
  flat_ = rows_[logical_ranks - 1];
  for (int row = 0; row < logical_ranks; ++row) {
    std::vector<at::Tensor>& views = views_.emplace_back();
    std::int64_t offset = 0;
    for (const std::int64_t index : parameter_indices_) {
      const at::Tensor& parameter = parameters[static_cast<std::size_t>(index)];
      const at::Tensor part = rows_[row].narrow(0, offset, parameter.numel()).view(parameter.sizes());
      // To autograd no view, since zero_grad() detaches gradients in place, which views do not allow.
      views.push_back(part.variable_data());
      offset += parameter.numel();
    }
  }
}

}  // namespace lockstep
