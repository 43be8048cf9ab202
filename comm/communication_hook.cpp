#include "comm/communication_hook.h"

#include <stdexcept>
#include <utility>

namespace lockstep {
namespace {

class Decompression final : public Work {
 public:
  Decompression(WorkPtr sum, at::Tensor compressed, at::Tensor gradients)
      : sum_(std::move(sum)), compressed_(std::move(compressed)), gradients_(std::move(gradients)) {}

  void wait() override {
    if (!compressed_.defined()) return;
    sum_->wait();
    gradients_.copy_(compressed_);
    compressed_.reset();
  }
  bool is_completed() const override { return !compressed_.defined() || sum_->is_completed(); }

 private:
  WorkPtr sum_;
  at::Tensor compressed_;
  at::Tensor gradients_;
};

}  // namespace

CompressHook::CompressHook(at::ScalarType dtype) : dtype_(dtype) {
  if (dtype != at::kHalf && dtype != at::kBFloat16) {
    throw std::invalid_argument(std::string("gradients cannot be compressed to ") + c10::toString(dtype) +
                                "; use float16 or bfloat16");
  }
}

// Divided before the sum, so that a sum of large gradients does not overflow. Where gradients are of `dtype_`
// already there is nothing to compress, and to() gives the bucket itself, as in PyTorch.
WorkPtr CompressHook::exchange(const GradientBucket& bucket, Communicator& communicator) {
  at::Tensor compressed = bucket.gradients.to(dtype_);
  compressed.div_(communicator.world_size());
  WorkPtr sum = communicator.all_reduce(compressed);
  return std::make_shared<Decompression>(std::move(sum), std::move(compressed), bucket.gradients);
}

CommunicationHookPtr create_communication_hook(const std::string& name) {
  if (name == "none") return nullptr;
  if (name == "fp16") return std::make_shared<CompressHook>(at::kHalf);
  if (name == "bf16") return std::make_shared<CompressHook>(at::kBFloat16);
  throw std::invalid_argument("unknown communication hook '" + name + "'; known are none, fp16 and bf16");
}

}  // namespace lockstep
