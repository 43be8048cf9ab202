#include "trainer/out_of_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(OutOfMemoryTest, SaysWhatWasAskedForAndWhatToLower) {
  // As PyTorch 2.11 words it (c10/cuda/CUDACachingAllocator.cpp).
  const std::string line = describe_out_of_memory(
      "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 1 has a total capacity of 79.25 GiB of which 1.12 "
      "GiB is "
      "free. Including non-PyTorch memory, this process has 78.12 GiB memory in use. Of the allocated memory "
      "76.40 "
      "GiB is allocated by PyTorch, and 312.00 MiB is reserved by PyTorch but unallocated. If reserved but "
      "unallocated memory is large try setting PYTORCH_ALLOC_CONF=expandable_segments:True to avoid "
      "fragmentation.\n"
      "Exception raised from malloc");
  EXPECT_THAT(
      line,
      StartsWith("out of GPU memory (tried to allocate 2.00 GiB; GPU 1 has a total capacity of 79.25 "
                 "GiB of which 1.12 GiB is free; Of the allocated memory 76.40 GiB is allocated by "
                 "PyTorch, and 312.00 MiB is reserved by PyTorch but unallocated); lower --batch-size"));
  EXPECT_THAT(line, Not(HasSubstr("\n")));
}

TEST(OutOfMemoryTest, TakesAnyText) {
  EXPECT_THAT(describe_out_of_memory(""), StartsWith("out of GPU memory; lower --batch-size"));
  EXPECT_THAT(describe_out_of_memory("Tried to allocate 5 MiB"),
              StartsWith("out of GPU memory (tried to allocate 5 MiB);"));
}

}  // namespace
}  // namespace lockstep
