#include "trainer/cost/spend.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr double kHour = 3600.0;

std::string cost(double price, int gpus, double hours) {
  return format_spend(spend_of({price, "USD"}, gpus, hours * kHour));
}

// Published examples: price per GPU-hour x hours x GPUs, to the cent.
TEST(Spend, WorkedExamples) {
  EXPECT_EQ(cost(1.50, 8, 100.0), "$1,200.00");
  EXPECT_EQ(cost(0.35, 1, 24.0), "$8.40");    // ResNet-50, T4
  EXPECT_EQ(cost(2.48, 1, 24.0), "$59.52");   // V100
  EXPECT_EQ(cost(3.07, 1, 24.0), "$73.68");   // A100
  EXPECT_EQ(cost(8.00, 1, 24.0), "$192.00");  // TPU v3
  EXPECT_EQ(cost(2.00, 1, 100.0), "$200.00");
  EXPECT_EQ(cost(2.00, 1, 80.0), "$160.00");  // 20 of the 100 hours paused
  EXPECT_EQ(cost(3.00, 10, 20.0), "$600.00");
  EXPECT_EQ(cost(2.00, 1, 8760.0 * 0.4), "$7,008.00");
  EXPECT_EQ(format_spend(spend_of({15.2, "CNY"}, 4, 15.0 * kHour)), "912.00 CNY");
}

TEST(Spend, IsGpuHoursWhereThePriceIsUnknown) {
  const Spend spend = spend_of({}, 8, 100 * kHour);
  EXPECT_DOUBLE_EQ(spend.gpu_hours, 800.0);
  EXPECT_FALSE(spend.amount.has_value());
  EXPECT_EQ(format_spend(spend), "800.0 GPU-h");
  EXPECT_EQ(format_spend(spend_of({}, 2, 100.0)), "0.056 GPU-h");
  EXPECT_EQ(format_spend(spend_of({}, 512, 1000 * kHour)), "512,000.0 GPU-h");
}

TEST(Spend, PrintsMoney) {
  EXPECT_EQ(format_money(0.0, "USD"), "$0.00");
  EXPECT_EQ(format_money(0.04166, "USD"), "$0.0417");
  EXPECT_EQ(format_money(0.99994, "USD"), "$0.9999");
  EXPECT_EQ(format_money(0.99996, "USD"), "$1.00");
  EXPECT_EQ(format_money(999.994, "EUR"), "999.99 EUR");
  EXPECT_EQ(format_money(1234567.891, "USD"), "$1,234,567.89");
}

TEST(Price, IsRefusedIfItCannotBe) {
  EXPECT_NO_THROW(check_price({0.0, "USD"}));
  EXPECT_NO_THROW(check_price({1.5, "CNY"}));
  for (const double price : {-0.01, std::nan(""), std::numeric_limits<double>::infinity()}) {
    EXPECT_THROW(check_price({price, "USD"}), std::invalid_argument) << price;
  }
  for (const char* currency : {"", "US DOLLAR", "TOOLONGCODE", "U\"D", "\n"}) {
    try {
      check_price({1.0, currency});
      ADD_FAILURE() << "accepted: " << currency;
    } catch (const std::invalid_argument& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace lockstep
