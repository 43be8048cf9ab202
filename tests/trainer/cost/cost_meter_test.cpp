#include "trainer/cost/cost_meter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace lockstep {
namespace {

class CostMeterTest : public ::testing::Test {
 protected:
  CostMeter::Clock clock() {
    return [this] { return now_s_; };
  }
  double now_s_ = 12345.0;
};

TEST_F(CostMeterTest, CountsFromItsConstruction) {
  const CostMeter meter({1.5, "USD"}, 8, {}, clock());
  EXPECT_DOUBLE_EQ(meter.running_s(), 0.0);
  EXPECT_EQ(format_spend(meter.spend()), "$0.00");
  now_s_ += 100 * 3600.0;
  EXPECT_DOUBLE_EQ(meter.running_s(), 360000.0);
  EXPECT_EQ(format_spend(meter.spend()), "$1,200.00");
  EXPECT_DOUBLE_EQ(meter.spend().gpu_hours, 800.0);
  EXPECT_EQ(meter.spend().currency, "USD");
}

TEST_F(CostMeterTest, AddsEarlierAttempts) {
  const CostMeter meter({2.0, "USD"}, 1, {.gpu_hours = 30.0, .amount = 45.0, .currency = "USD"}, clock());
  now_s_ += 10 * 3600.0;
  EXPECT_DOUBLE_EQ(*meter.spend().amount, 65.0);
  EXPECT_DOUBLE_EQ(meter.spend().gpu_hours, 40.0);
  EXPECT_DOUBLE_EQ(meter.running_s(), 36000.0);  // of this attempt alone
}

TEST_F(CostMeterTest, ProjectsWhatIsStillToCome) {
  // A $1,000 run with 30 of 100 epochs done: $300 so far, $10 an epoch, $700 to come.
  const CostMeter meter({10.0, "USD"}, 1, {}, clock());
  now_s_ += 30 * 3600.0;
  EXPECT_DOUBLE_EQ(*meter.spend().amount, 300.0);
  EXPECT_DOUBLE_EQ(*meter.per_epoch(30.0).amount, 10.0);
  EXPECT_DOUBLE_EQ(meter.per_epoch(30.0).gpu_hours, 1.0);
  EXPECT_DOUBLE_EQ(*meter.to_finish(70 * 3600.0).amount, 700.0);
  EXPECT_THROW(meter.per_epoch(0.0), std::invalid_argument);
  EXPECT_THROW(meter.per_epoch(std::nan("")), std::invalid_argument);
}

TEST_F(CostMeterTest, KnowsGpuHoursOnlyWithoutAPrice) {
  const CostMeter meter({0.0, "USD"}, 4, {}, clock());
  now_s_ += 1800.0;
  EXPECT_FALSE(meter.spend().amount.has_value());
  EXPECT_DOUBLE_EQ(meter.spend().gpu_hours, 2.0);
  EXPECT_FALSE(meter.to_finish(10.0).amount.has_value());
  // What was priced before stays known.
  const CostMeter later({0.0, "USD"}, 4, {.gpu_hours = 1.0, .amount = 3.0, .currency = "USD"}, clock());
  EXPECT_DOUBLE_EQ(later.spend().amount.value(), 3.0);
}

TEST_F(CostMeterTest, RefusesWhatCannotBe) {
  EXPECT_THROW(CostMeter({-1.0, "USD"}, 1), std::invalid_argument);
  EXPECT_THROW(CostMeter({std::nan(""), "USD"}, 1), std::invalid_argument);
  EXPECT_THROW(CostMeter({1.0, "USD"}, 0), std::invalid_argument);
  EXPECT_THROW(CostMeter({1.0, "USD"}, 1, {.gpu_hours = 1.0, .amount = 1.0, .currency = "EUR"}),
               std::invalid_argument);
}

TEST(CostMeterClock, GoesOn) {
  const CostMeter meter({1.0, "USD"}, 1);
  const double first = meter.running_s();
  EXPECT_GE(first, 0.0);
  EXPECT_GE(meter.running_s(), first);
  EXPECT_LT(first, 60.0);
}

}  // namespace
}  // namespace lockstep
