// GradScaler against torch.amp.GradScaler, bit for bit.
#include "trainer/optim/grad_scaler.h"

#include <ATen/Parallel.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/reference/reference_file.h"

namespace lockstep {
namespace {

TEST(GradScaler, HasPyTorchsBitsOverOverflowsAndGrowth) {
  at::set_num_threads(1);
  const auto expected = read_reference("steps.safetensors");
  GradScaler scaler({.init_scale = expected.at("init_scale").item<double>(),
                     .growth_interval = expected.at("growth_interval").item<std::int64_t>()},
                    at::kCPU);
  std::vector<at::Tensor> parameters;
  for (int i = 0; i < 6; ++i) {
    const auto grad = expected.find("grad.0." + std::to_string(i));
    parameters.push_back(
        at::zeros(grad == expected.end() ? at::IntArrayRef({2}) : grad->second.sizes()).requires_grad_());
  }
  int overflows = 0;
  for (int step = 0; expected.contains("scale." + std::to_string(step)); ++step) {
    const std::string s = std::to_string(step);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto grad = expected.find("grad." + s + "." + std::to_string(i));
      if (grad != expected.end()) parameters[i].mutable_grad() = grad->second.clone();
    }
    const at::Tensor found_inf = scaler.unscale(parameters);
    EXPECT_EQ(found_inf.item<float>() != 0.0F, expected.at("found_inf." + s).item<float>() != 0.0F) << s;
    overflows += found_inf.item<float>() != 0.0F ? 1 : 0;
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const auto unscaled = expected.find("unscaled." + s + "." + std::to_string(i));
      EXPECT_EQ(unscaled == expected.end(), !parameters[i].grad().defined());
      EXPECT_TRUE(unscaled == expected.end() || same_bits(parameters[i].grad(), unscaled->second))
          << s << " " << i;
    }
    scaler.update(found_inf);
    EXPECT_EQ(scaler.state().scale, expected.at("scale." + s).item<double>()) << s;
    EXPECT_EQ(scaler.state().growth_tracker, expected.at("growth_tracker." + s).item<std::int64_t>()) << s;
  }
  EXPECT_EQ(overflows, 3);
}

TEST(GradScaler, ScalesALossAndItsGradientComesBack) {
  GradScaler scaler({.init_scale = 256.0}, at::kCPU);
  const at::Tensor parameter = at::ones({1}).requires_grad_();
  const at::Tensor loss = scaler.scale((parameter * 3.0).sum());
  EXPECT_EQ(loss.item<float>(), 768.0F);
  loss.backward();
  EXPECT_EQ(parameter.grad().item<float>(), 768.0F);
  EXPECT_EQ(scaler.unscale({parameter}).item<float>(), 0.0F);
  EXPECT_EQ(parameter.grad().item<float>(), 3.0F);
}

TEST(GradScaler, GoesOnFromItsState) {
  GradScaler scaler({.init_scale = 8.0, .growth_interval = 2}, at::kCPU);
  scaler.load_state({.scale = 32.0, .growth_tracker = 1});
  scaler.update(at::zeros({}));
  EXPECT_EQ(scaler.state().scale, 64.0);
  EXPECT_EQ(scaler.state().growth_tracker, 0);
}

TEST(GradScaler, RefusesWhatIsNoScale) {
  EXPECT_THROW(GradScaler({.init_scale = 0.0}, at::kCPU), std::invalid_argument);
  EXPECT_THROW(GradScaler({.init_scale = 1e300}, at::kCPU), std::invalid_argument);
  EXPECT_THROW(GradScaler({.growth_factor = 1.0}, at::kCPU), std::invalid_argument);
  EXPECT_THROW(GradScaler({.backoff_factor = 1.0}, at::kCPU), std::invalid_argument);
  EXPECT_THROW(GradScaler({.growth_interval = 0}, at::kCPU), std::invalid_argument);
  GradScaler scaler({}, at::kCPU);
  EXPECT_THROW(scaler.load_state({.scale = std::nan(""), .growth_tracker = 0}), DataError);
  EXPECT_THROW(scaler.load_state({.scale = 1.0, .growth_tracker = -1}), DataError);
}

}  // namespace
}  // namespace lockstep
