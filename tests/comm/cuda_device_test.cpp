#include "comm/cuda_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(CudaDeviceTest, AnOldDriverIsNamedWithBothVersions) {
  EXPECT_EQ(
      why_no_gpu({.driver = 12040, .runtime = 13000}),
      "its NVIDIA driver serves CUDA 12.4 at most, and this build needs 13.0; install a newer driver, or "
      "use --device cpu (or auto)");
}

TEST(CudaDeviceTest, NoDriverAndNoGpuAreOneCase) {
  EXPECT_THAT(why_no_gpu({.driver = 0, .runtime = 13000}), HasSubstr("no GPU that CUDA can use"));
  // 13.0 serves programs of 13.2 as well.
  EXPECT_THAT(why_no_gpu({.driver = 13000, .runtime = 13020}), HasSubstr("no GPU that CUDA can use"));
}

TEST(CudaDeviceTest, KnowsTheRunTime) {
  EXPECT_GE(cuda_versions().runtime, 13000);
}

TEST(CudaDeviceTest, TheCpuNeedsNoGpu) {
  EXPECT_EQ(choose_device("cpu", {}), at::Device(at::kCPU));
}

}  // namespace
}  // namespace lockstep
