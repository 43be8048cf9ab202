#include "bench/report/statistics.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

TEST(Statistics, MedianOfAnOddNumberIsTheMiddleOne) {
  const Spread spread = spread_of({5.0, 1.0, 100.0});
  EXPECT_EQ(spread.min, 1.0);
  EXPECT_EQ(spread.median, 5.0);
  EXPECT_EQ(spread.max, 100.0);
}

TEST(Statistics, MedianOfAnEvenNumberIsTheMeanOfTheMiddleTwo) {
  EXPECT_EQ(spread_of({4.0, 1.0, 3.0, 100.0}).median, 3.5);
  EXPECT_EQ(spread_of({7.0}).median, 7.0);
}

TEST(Statistics, RatiosArePaired) {
  // Round by round 2, 3 and 4; the medians' ratio would be 20 / 10 = 2.
  const Spread ratio = ratio_spread({20.0, 3.0, 400.0}, {10.0, 1.0, 100.0});
  EXPECT_EQ(ratio.min, 2.0);
  EXPECT_EQ(ratio.median, 3.0);
  EXPECT_EQ(ratio.max, 4.0);
}

TEST(Statistics, NothingHasNoMedian) {
  EXPECT_THROW(spread_of({}), std::invalid_argument);
  EXPECT_THROW(ratio_spread({}, {}), std::invalid_argument);
  EXPECT_THROW(ratio_spread({1.0}, {1.0, 2.0}), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
