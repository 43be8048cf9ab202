// Each model with --activation-checkpointing and without: the same gradients, buffers and random numbers.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "trainer/models/models.h"
#include "trainer/random_state.h"
#include "trainer/recompute/checkpointed_block.h"

namespace lockstep {
namespace {

struct Outcome {
  at::Tensor loss;
  std::vector<at::Tensor> tensors;  // gradients, buffers, random state
};

Outcome step(const std::string& name, const DatasetShape& shape, std::int64_t blocks) {
  at::manual_seed(5);
  const auto model = create_model(name, shape);
  if (blocks > 0) {
    EXPECT_EQ(checkpoint_blocks(*model), blocks);
  }
  const bool tokens = shape.sequence_length > 0;
  const std::int64_t batch = 3;
  std::vector<std::int64_t> sizes = shape.sample_sizes;
  sizes.insert(sizes.begin(), batch);
  const at::Tensor data = tokens ? at::randint(2, sizes, at::kLong) : at::randn(sizes);
  at::Tensor target = at::randint(2, {batch}, at::kLong);
  if (tokens) target = at::randint(2, {batch, sizes.size() > 2 ? sizes[2] + 1 : sizes[1]}, at::kLong);
  Outcome outcome;
  const at::Tensor loss = model->loss(model->forward(data), target);
  at::rand({3});
  loss.backward();
  outcome.loss = loss.detach();
  for (const at::Tensor& parameter : model->parameters()) outcome.tensors.push_back(parameter.grad());
  for (const at::Tensor& buffer : model->buffers()) outcome.tensors.push_back(buffer);
  outcome.tensors.push_back(random_state(at::kCPU));
  return outcome;
}

void expect_the_same_bits(const std::string& name, const DatasetShape& shape, std::int64_t blocks) {
  const Outcome expected = step(name, shape, 0);
  const Outcome actual = step(name, shape, blocks);
  EXPECT_TRUE(at::equal(actual.loss, expected.loss));
  ASSERT_EQ(actual.tensors.size(), expected.tensors.size());
  for (std::size_t i = 0; i < expected.tensors.size(); ++i)
    EXPECT_TRUE(at::equal(actual.tensors[i], expected.tensors[i])) << i;
}

TEST(CheckpointedModels, Gpt2) {
  expect_the_same_bits("gpt2-mini", {.sample_sizes = {16}, .sequence_length = 16, .vocabulary_size = 50}, 4);
}

TEST(CheckpointedModels, Bert) {
  expect_the_same_bits("bert-mini", {.sample_sizes = {2, 16}, .sequence_length = 16, .vocabulary_size = 50},
                       4);
}

// Basic blocks and bottlenecks, with batch norms.
TEST(CheckpointedModels, ResNets) {
  expect_the_same_bits("resnet18", {.sample_sizes = {1, 16, 16}, .num_classes = 4}, 8);
  expect_the_same_bits("resnet50", {.sample_sizes = {1, 16, 16}, .num_classes = 4}, 16);
}

TEST(CheckpointedModels, OthersHaveNoBlocks) {
  for (const char* name : {"mlp", "convnet"})
    EXPECT_EQ(checkpoint_blocks(*create_model(name, {.sample_sizes = {1, 16, 16}, .num_classes = 4})), 0);
}

}  // namespace
}  // namespace lockstep
