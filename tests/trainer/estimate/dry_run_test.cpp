#include "trainer/estimate/dry_run.h"

#include <gtest/gtest.h>

#include "sampler/datasets.h"

namespace lockstep {
namespace {

DryRun run_of(const std::string& optimizer, double momentum = 0.9) {
  TrainConfig config;
  config.model = "mlp";
  config.optimizer = optimizer;
  config.momentum = momentum;
  return dry_run(config, *open_dataset("synthetic", {.synthetic_samples = 64}).train);
}

// 784 x 512, 512 x 512 and 512 x 10, with biases.
constexpr double kParameters = 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10;

TEST(DryRun, CountsWeightsGradientsAndOptimizer) {
  const DryRun sgd = run_of("sgd");
  EXPECT_EQ(sgd.num_parameters, kParameters);
  EXPECT_EQ(sgd.memory.weights, 4 * kParameters);
  EXPECT_EQ(sgd.memory.gradients, 4 * kParameters);
  EXPECT_EQ(sgd.memory.optimizer, 4 * kParameters);  // momentum
  EXPECT_EQ(run_of("sgd", 0.0).memory.optimizer, 0.0);
  // Two averages; PyTorch's step counters are a few bytes more.
  EXPECT_NEAR(run_of("adamw").memory.optimizer, 8 * kParameters, 100);
}

// Of a sample the backward pass needs at least the input and both hidden layers' outputs.
TEST(DryRun, ActivationsGrowWithTheBatch) {
  const DryRun run = run_of("sgd");
  EXPECT_GE(run.memory.activations.per_sample, 4 * (784 + 512 + 512));
  EXPECT_LE(run.memory.activations.per_sample, 4 * 4 * (784 + 512 + 512));
  EXPECT_GT(run.memory.evaluation.per_sample, 4 * 784);
  EXPECT_GT(run.overhead_bytes, 10e6);
}

// A product with a matrix of n weights takes 2 n, and the backward pass twice that; biases and activations
// add little.
TEST(DryRun, CountsTheArithmeticOfAStep) {
  const double products = 784 * 512 + 512 * 512 + 512 * 10;
  EXPECT_NEAR(run_of("sgd").flops_per_sample, 3 * 2 * products, 0.01 * 6 * products);
}

// 2 n for each token and weight of the products, and attention's two products of T x T x width in every
// layer.
TEST(DryRun, CountsATransformersArithmetic) {
  TrainConfig config;
  config.model = "gpt2-mini";
  const auto data = open_dataset("synthetic-tokens", {.synthetic_samples = 16, .sequence_length = 64});
  const DryRun run = dry_run(config, *data.train);
  const double tokens = 64;
  const double width = 128, layers = 4, vocabulary = 256;
  const double per_token =
      2 * (layers * 12 * width * width + width * vocabulary) + layers * 4 * tokens * width;
  // What is done element by element adds less than a tenth, even at this width.
  EXPECT_GE(run.flops_per_sample, 3 * tokens * per_token);
  EXPECT_LE(run.flops_per_sample, 1.1 * 3 * tokens * per_token);
}

DryRun gpt2_run(bool activation_checkpointing) {
  TrainConfig config;
  config.model = "gpt2-mini";
  config.activation_checkpointing = activation_checkpointing;
  const auto data = open_dataset("synthetic-tokens", {.synthetic_samples = 16, .sequence_length = 128});
  return dry_run(config, *data.train);
}

// Of a block only its input stays, T x width numbers, in place of at least the inputs of its four products
// and what stands between them. What is computed a second time is all of the blocks' products.
TEST(DryRun, ActivationCheckpointingTakesLessMemoryAndMoreArithmetic) {
  const DryRun kept = gpt2_run(false);
  const DryRun recomputed = gpt2_run(true);
  const double tokens = 128, width = 128, layers = 4;
  const double saved_at_least = (layers - 1) * tokens * (1 + 1 + 1 + 4) * width * 4;
  EXPECT_LT(recomputed.memory.activations.per_sample, kept.memory.activations.per_sample - saved_at_least);
  EXPECT_EQ(recomputed.memory.weights, kept.memory.weights);
  EXPECT_EQ(recomputed.memory.optimizer, kept.memory.optimizer);
  const double products = 2 * tokens * layers * 12 * width * width;
  EXPECT_GE(recomputed.flops_per_sample, kept.flops_per_sample + products);
  EXPECT_LE(recomputed.flops_per_sample, kept.flops_per_sample * 4 / 3);
}

TEST(DryRun, RefusesActivationCheckpointingWhereThereAreNoBlocks) {
  TrainConfig config;
  config.model = "mlp";
  config.activation_checkpointing = true;
  EXPECT_THROW(dry_run(config, *open_dataset("synthetic", {.synthetic_samples = 64}).train),
               std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
