// What is expected was reckoned by hand, or stands in the models' own documentation.
#include "bench/flop_counter.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/bmm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <gtest/gtest.h>

#include <optional>

#include "bench/training_step.h"

namespace lockstep {
namespace {

template <class Function>
double flop_of(const Function& function) {
  const FlopCounter counter;
  function();
  return counter.flop();
}

TEST(FlopCounter, CountsProductsByTheirShapes) {
  EXPECT_EQ(flop_of([] { at::mm(at::rand({3, 4}), at::rand({4, 5})); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(flop_of([] { at::addmm(at::rand({5}), at::rand({3, 4}), at::rand({4, 5})); }), 2 * 3 * 4 * 5);
  EXPECT_EQ(flop_of([] { at::bmm(at::rand({2, 3, 4}), at::rand({2, 4, 5})); }), 2 * 2 * 3 * 4 * 5);
  EXPECT_EQ(flop_of([] {
              at::linear(at::rand({2, 3, 4}), at::rand({5, 4}), at::rand({5}));
            }),
            2 * 2 * 3 * 4 * 5);
  EXPECT_EQ(flop_of([] { at::rand({100}).add(1).mul(2); }), 0);
}

TEST(FlopCounter, CountsConvolutionsByTheirOutput) {
  const auto convolve = [](at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation,
                           int groups) {
    return flop_of([&] {
      at::conv2d(at::rand({2, 4, 9, 9}), at::rand({8, 4 / groups, 3, 3}), {}, stride, padding, dilation,
                 groups);
    });
  };
  EXPECT_EQ(convolve({1}, {1}, {1}, 1), 2.0 * 2 * 9 * 9 * 8 * 4 * 9);
  EXPECT_EQ(convolve({2, 1}, {0, 1}, {1, 1}, 1), 2.0 * 2 * 4 * 9 * 8 * 4 * 9);
  EXPECT_EQ(convolve({1}, {0}, {2}, 1), 2.0 * 2 * 5 * 5 * 8 * 4 * 9);
  EXPECT_EQ(convolve({1}, {1}, {1}, 2), 2.0 * 2 * 9 * 9 * 8 * 2 * 9);
}

TEST(FlopCounter, CountsAttentionFusedOrNot) {
  for (const double dropout : {0.0, 0.1}) {
    const at::Tensor x = at::rand({2, 4, 16, 8});
    EXPECT_EQ(flop_of([&] { at::scaled_dot_product_attention(x, x, x, {}, dropout, /*is_causal=*/true); }),
              2 * 2 * 4 * 16 * 16 * (8 + 8))
        << dropout;
  }
}

// Of a sample, in multiply-adds; a step takes three times two operations for each.
double step_flop(const Workload& workload) {
  return TrainingStep(workload, 0).count_flop();
}

TEST(FlopCounter, ModelsTakeWhatTheirDocumentationSays) {
  const Workload mlp{"toy", "mlp", {512, 512}, {1, 28, 28}, 10, 64, 1, 0, 0};
  EXPECT_EQ(step_flop(mlp), 6.0 * 64 * (784 * 512 + 512 * 512 + 512 * 10));
  // torchvision's documentation of ResNet18_Weights: 1.81 "GFLOPS", which are multiply-adds.
  const Workload resnet18{"toy", "resnet18", {}, {3, 224, 224}, 1000, 1, 1, 0, 0};
  EXPECT_NEAR(step_flop(resnet18) / 6e9, 1.814, 0.0005);
}

// Kaplan et al. 2020, table 1: per layer and token 12 width^2 multiply-adds, and 2 length width for the
// scores and what is made of them; then the vocabulary.
TEST(FlopCounter, Gpt2TakesWhatTheFormulaSays) {
  const Workload gpt2{"toy", "gpt2-mini", {}, {}, 0, 2, 1, 64, 1000};
  constexpr double kLayers = 4, kWidth = 128, kLength = 64;
  const double a_token = kLayers * (12 * kWidth * kWidth + 2 * kLength * kWidth) + kWidth * 1000;
  EXPECT_DOUBLE_EQ(step_flop(gpt2), 6 * 2 * kLength * a_token);
}

}  // namespace
}  // namespace lockstep
