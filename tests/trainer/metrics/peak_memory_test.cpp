#include "trainer/metrics/peak_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>

namespace lockstep {
namespace {

TEST(PeakMemory, RisesWithWhatIsTouchedAndStays) {
  constexpr std::size_t kBytes = 64 << 20;
  const auto before = peak_resident_bytes();
  ASSERT_TRUE(before);
  EXPECT_GT(*before, 1e6);
  {
    const auto block = std::make_unique<char[]>(kBytes);
    std::memset(block.get(), 1, kBytes);
    EXPECT_EQ(block[kBytes / 2], 1);
  }
  const auto after = peak_resident_bytes();
  EXPECT_GE(*after, *before + 0.9 * kBytes);
  EXPECT_GE(*peak_resident_bytes(), *after);
}

}  // namespace
}  // namespace lockstep
