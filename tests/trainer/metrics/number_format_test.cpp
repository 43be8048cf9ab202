#include "trainer/metrics/number_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace lockstep {
namespace {

TEST(NumberFormat, Durations) {
  EXPECT_EQ(format_duration(0.0), "0:00");
  EXPECT_EQ(format_duration(7.4), "0:07");
  EXPECT_EQ(format_duration(59.6), "1:00");
  EXPECT_EQ(format_duration(754.0), "12:34");
  EXPECT_EQ(format_duration(3723.0), "1:02:03");
  EXPECT_EQ(format_duration(360000.0), "100:00:00");
  EXPECT_EQ(format_duration(-1.0), "-");
  EXPECT_EQ(format_duration(std::nan("")), "-");
  EXPECT_EQ(format_duration(INFINITY), "-");
}

TEST(NumberFormat, Counts) {
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_count(std::numeric_limits<std::int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(NumberFormat, Losses) {
  EXPECT_EQ(format_loss(0.43215), "0.4321");
  EXPECT_EQ(format_loss(0.0), "0.0000");
  EXPECT_EQ(format_loss(1.2e-5), "1.2e-05");
  EXPECT_EQ(format_loss(4.2e9), "4.2e+09");
  EXPECT_EQ(format_loss(std::nan("")), "nan");
  EXPECT_EQ(format_loss(-INFINITY), "-inf");
}

TEST(NumberFormat, Rates) {
  EXPECT_EQ(format_rate(12345.4), "12,345 samples/s");
  EXPECT_EQ(format_rate(7.25), "7.2 samples/s");
  EXPECT_EQ(format_rate(0.0), "0.0 samples/s");
  EXPECT_EQ(format_rate(INFINITY), "inf samples/s");
}

TEST(NumberFormat, Bytes) {
  constexpr double kMib = 1 << 20;
  EXPECT_EQ(format_bytes(1536 * kMib), "1.50 GiB");
  EXPECT_EQ(format_bytes(45.625 * kMib), "45.6 MiB");
  EXPECT_EQ(format_bytes(0), "0.0 MiB");
}

}  // namespace
}  // namespace lockstep
