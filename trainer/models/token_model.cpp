#include "trainer/models/token_model.h"

#include <ATen/core/grad_mode.h>

#include <stdexcept>

#include "trainer/models/picture_sizes.h"

namespace lockstep {

TokenSizes token_sizes(const DatasetShape& shape, const std::string& model, TokenTask task,
                       std::int64_t most_positions) {
  const std::size_t dimensions = task == TokenTask::kNextToken ? 1 : 2;
  if (shape.sequence_length < 1 || shape.vocabulary_size < 1 || shape.sample_sizes.size() != dimensions) {
    throw std::invalid_argument("model " + model + " takes " +
                                (task == TokenTask::kNextToken
                                     ? "sequences of tokens, each with the token that follows it"
                                     : "pairs of masked sequences of tokens") +
                                ", but one sample is " + sizes_text(shape.sample_sizes) +
                                "; --data text:FILE, tokens:FILE and synthetic-tokens give them");
  }
  if (shape.sequence_length > most_positions) {
    throw std::invalid_argument("model " + model + " takes sequences of at most " +
                                std::to_string(most_positions) + " tokens, but one sample has " +
                                std::to_string(shape.sequence_length) + "; lower --sequence-length");
  }
  return {shape.sequence_length, shape.vocabulary_size};
}

void for_each_in_post_order(torch::nn::Module& module, const std::function<void(torch::nn::Module&)>& visit) {
  for (const auto& child : module.children()) for_each_in_post_order(*child, visit);
  visit(module);
}

void draw_normal(const at::Tensor& tensor, double std) {
  const at::NoGradGuard no_grad;
  tensor.normal_(0.0, std);
}

}  // namespace lockstep
