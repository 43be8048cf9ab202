#include "trainer/trace/clock_offset.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

TEST(ClockOffset, LiesWithinWhatThePassagesAllow) {
  // The truth: this clock is 1000 ahead. The reference waits from 10 to 50; this rank enters at 40 (1040) and
  // leaves at 45 (1045): between 1040 - 50 = 990 and 1045 - 10 = 1035.
  const ClockOffset offset = clock_offset({{1040, 1045}}, {{10, 50}});
  EXPECT_EQ(offset.offset_ns, 1012);
  EXPECT_EQ(offset.uncertainty_ns, 22);
}

TEST(ClockOffset, SeveralPassagesNarrowItDown) {
  // A second one at which this rank waits for the reference: from 1110 - 145 = 965 to 1141 - 139 = 1002.
  const ClockOffset offset = clock_offset({{1040, 1045}, {1110, 1141}}, {{10, 50}, {139, 145}});
  EXPECT_EQ(offset.offset_ns, 996);  // of 990 to 1002
  EXPECT_EQ(offset.uncertainty_ns, 6);
}

TEST(ClockOffset, NeedsTheSamePassages) {
  EXPECT_THROW(clock_offset({}, {}), std::invalid_argument);
  EXPECT_THROW(clock_offset({{1, 2}}, {{1, 2}, {3, 4}}), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
