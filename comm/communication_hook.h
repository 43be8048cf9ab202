// CommunicationHook: how one bucket of gradients becomes their average over ranks, for those who want another
// way than an all-reduce of all bits: compression, above all.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

struct GradientBucket {
  at::Tensor
      gradients;  // (n), this rank's gradients of a bucket's parameters, unscaled; to be changed in place
  std::size_t index = 0;  // of the bucket in this backward pass; a hook's own state may go by it
  std::size_t count = 0;  // buckets in this backward pass
};

// Called by the reducer, in the middle of the backward pass, for one bucket after the other, in the same
// order on every rank. Without a hook a bucket is multiplied by 1 / world_size and summed.
class CommunicationHook {
 public:
  virtual ~CommunicationHook() = default;
  // Begins the exchange and returns at once. When the Work's wait() has returned, `bucket.gradients` has to
  // be the average over ranks, with the same bits on all of them. What this or wait() throws ends the
  // communicator, so that no peer waits for this rank.
  virtual WorkPtr exchange(const GradientBucket& bucket, Communicator& communicator) = 0;
};

using CommunicationHookPtr = std::shared_ptr<CommunicationHook>;

// Sends gradients as `dtype`, at half the bytes of float32: rounded, divided by the world size, summed in
// `dtype`, and widened again. PyTorch's fp16_compress_hook and bf16_compress_hook
// (torch/distributed/algorithms/ddp_comm_hooks/default_hooks.py), to the bit where the sum has their order.
class CompressHook final : public CommunicationHook {
 public:
  // Throws std::invalid_argument unless `dtype` is float16 or bfloat16.
  explicit CompressHook(at::ScalarType dtype);
  WorkPtr exchange(const GradientBucket& bucket, Communicator& communicator) override;

 private:
  at::ScalarType dtype_;
};

// "none" (a null pointer), "fp16" or "bf16"; std::invalid_argument for another name.
CommunicationHookPtr create_communication_hook(const std::string& name);

}  // namespace lockstep
