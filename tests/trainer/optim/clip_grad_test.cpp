// clip_grad_norm against torch.nn.utils.clip_grad_norm_, bit for bit.
#include "trainer/optim/clip_grad.h"

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tests/reference/reference_file.h"

namespace lockstep {
namespace {

class ClipGradNorm : public testing::TestWithParam<const char*> {};

TEST_P(ClipGradNorm, HasPyTorchsBits) {
  at::set_num_threads(1);
  const auto expected = read_reference(std::string(GetParam()) + ".safetensors");
  std::vector<at::Tensor> parameters;
  for (int i = 0; i < 6; ++i) {
    const auto grad = expected.find("grad." + std::to_string(i));
    parameters.push_back(at::zeros(grad == expected.end() ? at::IntArrayRef({2}) : grad->second.sizes()));
    parameters.back().requires_grad_();
    if (grad != expected.end()) parameters.back().mutable_grad() = grad->second.clone();
  }
  EXPECT_FALSE(parameters[3].grad().defined());

  const at::Tensor norm = clip_grad_norm(parameters, expected.at("max_norm").item<double>());
  EXPECT_TRUE(same_bits(norm, expected.at("norm")));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto clipped = expected.find("clipped." + std::to_string(i));
    EXPECT_TRUE(clipped == expected.end() || same_bits(parameters[i].grad(), clipped->second)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(, ClipGradNorm, testing::Values("clipped", "left_alone", "tiny"),
                         [](const auto& info) { return std::string(info.param); });

at::Tensor parameter_with_grad(const at::Tensor& grad) {
  at::Tensor parameter = at::zeros(grad.sizes(), grad.options()).requires_grad_();
  parameter.mutable_grad() = grad;
  return parameter;
}

TEST(ClipGradNormOf, ThreeAndFourIsFive) {
  const std::vector<at::Tensor> parameters{parameter_with_grad(at::full({1}, 3.0)),
                                           parameter_with_grad(at::full({1}, -4.0))};
  EXPECT_EQ(clip_grad_norm(parameters, 1.0).item<float>(), 5.0F);
  EXPECT_NEAR(parameters[0].grad().item<float>(), 0.6F, 1e-6);
  EXPECT_NEAR(parameters[1].grad().item<float>(), -0.8F, 1e-6);
}

TEST(ClipGradNormOf, NothingIsZero) {
  EXPECT_EQ(clip_grad_norm({}, 1.0).item<float>(), 0.0F);
  EXPECT_EQ(clip_grad_norm({at::zeros({2}).requires_grad_()}, 1.0).item<float>(), 0.0F);
}

TEST(ClipGradNormOf, InfinityIsReported) {
  const std::vector<at::Tensor> parameters{
      parameter_with_grad(at::full({1}, std::numeric_limits<double>::infinity()))};
  EXPECT_TRUE(std::isinf(clip_grad_norm(parameters, 1.0).item<float>()));
}

TEST(ClipGradNormOf, BadArgumentsAreRefused) {
  EXPECT_THROW(clip_grad_norm({}, 0.0), std::invalid_argument);
  EXPECT_THROW(clip_grad_norm({}, -1.0), std::invalid_argument);
  EXPECT_THROW(clip_grad_norm({}, std::nan("")), std::invalid_argument);
  EXPECT_THROW(
      clip_grad_norm({parameter_with_grad(at::zeros({1})), parameter_with_grad(at::zeros({1}, at::kDouble))},
                     1),
      std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
