#include "trainer/device_memory.h"

#include <c10/core/AllocatorConfig.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace lockstep {
namespace {

// LibTorch's settings are the process's.
class CudaAllocatorTest : public ::testing::Test {
 protected:
  CudaAllocatorTest() { forget(); }
  ~CudaAllocatorTest() override { forget(); }

 private:
  static void forget() {
    unsetenv("PYTORCH_CUDA_ALLOC_CONF");
    unsetenv("PYTORCH_ALLOC_CONF");
    c10::CachingAllocator::setAllocatorSettings("expandable_segments:False");
  }
};

TEST_F(CudaAllocatorTest, TakesExpandableSegmentsWhereTheyAreAskedFor) {
  EXPECT_EQ(set_cuda_allocator(false), "");
  EXPECT_FALSE(has_expandable_segments());
  EXPECT_EQ(set_cuda_allocator(true), "GPU memory is taken in segments that grow (--expandable-segments)");
  EXPECT_TRUE(has_expandable_segments());
}

TEST_F(CudaAllocatorTest, AVariableOfTheUsersHolds) {
  setenv("PYTORCH_ALLOC_CONF", "max_split_size_mb:64", 1);
  EXPECT_EQ(set_cuda_allocator(false), "GPU memory is taken as PYTORCH_ALLOC_CONF=max_split_size_mb:64 says");
  EXPECT_EQ(set_cuda_allocator(true),
            "GPU memory is taken as PYTORCH_ALLOC_CONF=max_split_size_mb:64 says, which "
            "--expandable-segments leaves as it is");
  EXPECT_FALSE(has_expandable_segments());
}

}  // namespace
}  // namespace lockstep
