#include "trainer/recompute/checkpointed_block.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "trainer/recompute/activation_checkpoint.h"

namespace lockstep {

at::Tensor CheckpointedBlock::forward(at::Tensor x) {
  if (!checkpointed_) return compute(x);
  // The graph may outlive the model.
  const auto self = std::static_pointer_cast<CheckpointedBlock>(shared_from_this());
  const auto function = [self](const std::vector<at::Tensor>& inputs) { return self->compute(inputs[0]); };
  return checkpoint(function, {std::move(x)}, buffers());
}

bool has_blocks(const torch::nn::Module& module) {
  const auto parts = module.modules(/*include_self=*/false);
  return std::any_of(parts.begin(), parts.end(), [](const auto& part) {
    return dynamic_cast<const CheckpointedBlock*>(part.get()) != nullptr;
  });
}

std::int64_t checkpoint_blocks(torch::nn::Module& module) {
  std::int64_t blocks = 0;
  for (const auto& part : module.modules(/*include_self=*/false)) {
    auto* const block = dynamic_cast<CheckpointedBlock*>(part.get());
    if (block == nullptr) continue;
    block->checkpointed_ = true;
    ++blocks;
  }
  return blocks;
}

}  // namespace lockstep
