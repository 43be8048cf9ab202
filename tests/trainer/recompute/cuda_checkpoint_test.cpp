// The GPU's own generator and autocast, on the thread that goes back through the graph there.
#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include "trainer/recompute/activation_checkpoint.h"

namespace lockstep {
namespace {

std::vector<at::Tensor> step(bool checkpointed, bool autocast) {
  at::manual_seed(3);
  const auto options = at::TensorOptions().device(at::kCUDA).dtype(at::kFloat);
  const at::Tensor weight = at::randn({64, 64}, options).requires_grad_();
  const at::Tensor x = at::randn({32, 64}, options).requires_grad_();
  const CheckpointedFunction function = [&](const std::vector<at::Tensor>& inputs) {
    return at::dropout(at::gelu(inputs[0].matmul(weight)), 0.3, /*train=*/true).matmul(weight);
  };
  at::autocast::set_autocast_dtype(at::kCUDA, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCUDA, autocast);
  const at::Tensor output = checkpointed ? checkpoint(function, {x}) : function({x});
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCUDA, false);
  const at::Tensor drawn = at::rand({4}, options);
  output.to(at::kFloat).pow(2).sum().backward();
  return {output.detach(), x.grad(), weight.grad(), drawn, at::rand({4}, options)};
}

TEST(CudaCheckpoint, GivesTheSameBitsWithTheSameMasks) {
  for (const bool autocast : {false, true}) {
    const auto expected = step(false, autocast);
    const auto actual = step(true, autocast);
    for (std::size_t i = 0; i < expected.size(); ++i)
      EXPECT_TRUE(at::equal(actual[i], expected[i])) << i << (autocast ? ", autocast" : "");
  }
}

}  // namespace
}  // namespace lockstep
