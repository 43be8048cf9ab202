#include "bench/profiled_step.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

// 64-32-10: two weights and two biases.
TEST(ProfileStep, EveryGradientHasItsMomentAndItsSize) {
  const StepProfile profile = profile_step({"toy", "mlp", {32}, {1, 8, 8}, 10, 4, 1});
  EXPECT_EQ(profile.workload, "toy");
  EXPECT_EQ(profile.batch_size, 4);
  ASSERT_EQ(profile.arrivals.size(), 4U);
  EXPECT_EQ(profile.gradient_bytes(), 4 * (64 * 32 + 32 + 32 * 10 + 10));
  // The backward pass begins with the last layer, and ends with the first.
  EXPECT_LE(profile.arrivals[0].bytes, 4 * 320);
  EXPECT_LE(profile.arrivals[1].bytes, 4 * 320);
  for (std::size_t i = 1; i < 4; ++i) EXPECT_GE(profile.arrivals[i].ready_s, profile.arrivals[i - 1].ready_s);
  EXPECT_LE(profile.arrivals.back().ready_s, profile.backward_s);
  EXPECT_GT(profile.forward_s, 0.0);
  EXPECT_GT(profile.optimizer_s, 0.0);
  // What it writes can be replayed.
  EXPECT_EQ(step_profile_from_json_text(to_json_text(profile)).gradient_bytes(), profile.gradient_bytes());
}

}  // namespace
}  // namespace lockstep
