// Averages in 16 bits, and over worlds that are no power of two. A sum that is scaled by 1/n rounded to the
// gradients' own dtype (as ncclAvg does) is off by up to 0.2 % in bfloat16, everywhere in the same direction.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/reducer.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

// What a Reducer makes of a gradient that is `gradient` on each of `world_size` ranks.
at::Tensor average(const at::Tensor& gradient, int world_size) {
  at::Tensor result;
  testing::run_ranks(world_size, [&](Communicator& comm) {
    const at::Tensor parameter = at::zeros_like(gradient).requires_grad_();
    // The reducer keeps no reference beyond this function.
    Reducer reducer({{"p", parameter}}, CommunicatorPtr(&comm, [](Communicator*) {}));
    reducer.prepare_for_forward(true);
    (parameter * gradient).sum().backward();
    if (comm.rank() == 0) result = parameter.grad().clone();
  });
  return result;
}

// Every significand of bfloat16 once.
at::Tensor significands() {
  return at::arange(128, 256, at::TensorOptions().dtype(at::kBFloat16));
}

double mean_relative_error(const at::Tensor& averages, const at::Tensor& exact) {
  return (averages.to(at::kDouble) / exact.to(at::kDouble) - 1).mean().item<double>();
}

TEST(GradientAverageTest, IsUnbiasedInBfloat16OverThreeRanks) {
  const at::Tensor gradient = significands();
  const at::Tensor averages = average(gradient, 3);
  // Each product is rounded once, with a third that float32 holds.
  const at::Tensor part = gradient.to(at::kFloat).mul(1.0 / 3).to(at::kBFloat16);
  EXPECT_TRUE(at::equal(averages, part + part + part));
  EXPECT_LT(std::abs(mean_relative_error(averages, gradient)), 0.001);
  // A third of bfloat16 is 0.333984375.
  const at::Tensor trap = gradient * at::full({}, 1.0 / 3, gradient.options());
  EXPECT_GT(mean_relative_error(trap * 3, gradient), 0.001);
}

TEST(GradientAverageTest, DividesBeforeItAdds) {
  // The sum of eight, 491520, is beyond float16; their average is not, and every step on the way is exact.
  const at::Tensor gradient = at::full({5}, 61440, at::TensorOptions().dtype(at::kHalf));
  EXPECT_TRUE(at::equal(average(gradient, 8), gradient));
}

TEST(GradientAverageTest, IsWithinARoundingInFloat32) {
  const at::Tensor gradient = significands().to(at::kFloat);
  for (const int world_size : {3, 5, 6, 7}) {
    const at::Tensor error = (average(gradient, world_size) / gradient - 1).abs();
    EXPECT_LT(error.max().item<float>(), 5e-7F) << world_size;
  }
}

}  // namespace
}  // namespace lockstep
