// What models of tokens share. Not for use outside this folder.
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <string>

#include "sampler/dataset.h"

namespace lockstep {

struct TokenSizes {
  std::int64_t sequence_length;
  std::int64_t vocabulary_size;
};

// Reads them from `shape`. Throws std::invalid_argument, naming `model`, if samples are of another kind than
// `task` asks for, or longer than `most_positions` tokens.
TokenSizes token_sizes(const DatasetShape& shape, const std::string& model, TokenTask task,
                       std::int64_t most_positions);

// Children before their parents, in the order of registration: the order in which Hugging Face's
// initialize_weights() goes over a model.
void for_each_in_post_order(torch::nn::Module& module, const std::function<void(torch::nn::Module&)>& visit);

// tensor.normal_(0, std), without a trace for autograd.
void draw_normal(const at::Tensor& tensor, double std);

}  // namespace lockstep
