#include "trainer/model_options.h"

#include <torch/nn/module.h>

#include <stdexcept>

#include "trainer/memory_format.h"
#include "trainer/recompute/checkpointed_block.h"

namespace lockstep {

std::vector<std::string> apply_model_options(const TrainConfig& config, torch::nn::Module& model) {
  std::vector<std::string> lines;
  const at::MemoryFormat format = parse_memory_format(config.memory_format);
  if (format != at::MemoryFormat::Contiguous) {
    const std::int64_t weights = lay_out_weights(model, format);
    if (weights == 0) {
      throw std::invalid_argument("--memory-format " + config.memory_format + ": model " + config.model +
                                  " has no convolution; leave it out, or choose a model that has (convnet, "
                                  "resnet18)");
    }
    lines.push_back("pictures and " + std::to_string(weights) + " weights of convolutions lie in memory as " +
                    config.memory_format);
  }
  if (config.activation_checkpointing) {
    const std::int64_t blocks = checkpoint_blocks(model);
    if (blocks == 0) {
      throw std::invalid_argument("--activation-checkpointing: model " + config.model +
                                  " has no repeated blocks; leave it out, or choose a model that has "
                                  "(resnet18, gpt2, bert-base)");
    }
    lines.push_back("the activations of " + std::to_string(blocks) +
                    " blocks are computed again in the backward pass");
  }
  return lines;
}

}  // namespace lockstep
