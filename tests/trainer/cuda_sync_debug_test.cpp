#include <ATen/ATen.h>
#include <c10/cuda/CUDAFunctions.h>
#include <gtest/gtest.h>

#include "trainer/sync_debug.h"

namespace lockstep {
namespace {

// What the trainings of ctest -L gpu rely on where they ask for "error".
TEST(CudaSyncDebug, RefusesWhatWaitsForTheGpuAndNothingElse) {
  ASSERT_GT(c10::cuda::device_count(), 0) << "a test labelled gpu was started without one";
  const at::Tensor tensor = at::ones({2}, at::kCUDA);
  {
    const SyncDebugGuard guard("error");
    EXPECT_NO_THROW(tensor.add(1));
    EXPECT_THROW(tensor[0].item<float>(), c10::Error);
    EXPECT_THROW(tensor.cpu(), c10::Error);
  }
  EXPECT_EQ(tensor[0].item<float>(), 1.0F);
  const SyncDebugGuard nothing("default");
  EXPECT_EQ(tensor[0].item<float>(), 1.0F);
  EXPECT_THROW(SyncDebugGuard("loud"), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
