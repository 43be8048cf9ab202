#include "trainer/cost/cost_meter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace lockstep {
namespace {

Tariff at(double price_per_gpu_hour) {
  Tariff tariff;
  tariff.price = {price_per_gpu_hour, "USD"};
  return tariff;
}

class CostMeterTest : public ::testing::Test {
 protected:
  CostMeter::Clock clock() {
    return [this] { return now_s_; };
  }
  double now_s_ = 12345.0;
};

TEST_F(CostMeterTest, CountsFromItsConstruction) {
  const CostMeter meter(at(1.5), 8, {}, clock());
  EXPECT_DOUBLE_EQ(meter.running_s(), 0.0);
  EXPECT_EQ(format_spend(meter.spend()), "$0.00");
  now_s_ += 100 * 3600.0;
  EXPECT_DOUBLE_EQ(meter.running_s(), 360000.0);
  EXPECT_EQ(format_spend(meter.spend()), "$1,200.00");
  EXPECT_DOUBLE_EQ(meter.spend().gpu_hours, 800.0);
  EXPECT_EQ(meter.spend().currency, "USD");
}

TEST_F(CostMeterTest, AddsEarlierAttempts) {
  const CostMeter meter(at(2.0), 1, {.earlier = {.gpu_hours = 30.0, .amount = 45.0, .currency = "USD"}},
                        clock());
  now_s_ += 10 * 3600.0;
  EXPECT_DOUBLE_EQ(*meter.spend().amount, 65.0);
  EXPECT_DOUBLE_EQ(meter.spend().gpu_hours, 40.0);
  EXPECT_DOUBLE_EQ(meter.running_s(), 36000.0);  // of this attempt alone
}

TEST_F(CostMeterTest, ProjectsWhatIsStillToCome) {
  // A $1,000 run with 30 of 100 epochs done: $300 so far, $10 an epoch, $700 to come.
  const CostMeter meter(at(10.0), 1, {}, clock());
  now_s_ += 30 * 3600.0;
  EXPECT_DOUBLE_EQ(*meter.spend().amount, 300.0);
  EXPECT_DOUBLE_EQ(*meter.per_epoch(30.0).amount, 10.0);
  EXPECT_DOUBLE_EQ(meter.per_epoch(30.0).gpu_hours, 1.0);
  EXPECT_DOUBLE_EQ(*meter.to_finish(70 * 3600.0).amount, 700.0);
  EXPECT_THROW(meter.per_epoch(0.0), std::invalid_argument);
  EXPECT_THROW(meter.per_epoch(std::nan("")), std::invalid_argument);
}

TEST_F(CostMeterTest, OwesBegunGranules) {
  Tariff tariff = at(2.0);
  tariff.billing.granularity_s = 3600.0;
  // The launch took 60 s, and an attempt of the same rental 1800 s before.
  const CostMeter meter(tariff, 4, {.earlier = {}, .interval_s = 1800.0, .running_s = 60.0}, clock());
  EXPECT_DOUBLE_EQ(meter.running_s(), 60.0);
  EXPECT_DOUBLE_EQ(*meter.spend().amount, 8.0);
  EXPECT_DOUBLE_EQ(*meter.spend_after(1739.0).amount, 8.0);
  EXPECT_DOUBLE_EQ(*meter.spend_after(1741.0).amount, 16.0);
  EXPECT_DOUBLE_EQ(*meter.to_finish(1741.0).amount, 8.0);
  now_s_ += 3600.0;
  EXPECT_DOUBLE_EQ(*meter.spend().amount, 16.0);
}

TEST_F(CostMeterTest, BillsStorageBesides) {
  Tariff tariff = at(2.0);
  tariff.storage = {500.0, 0.10};
  const CostMeter meter(tariff, 1, {}, clock());
  now_s_ += 73 * 3600.0;  // a tenth of a month
  EXPECT_DOUBLE_EQ(*meter.spend().amount, 146.0 + 5.0);
}

TEST_F(CostMeterTest, KnowsGpuHoursOnlyWithoutAPrice) {
  const CostMeter meter(at(0.0), 4, {}, clock());
  now_s_ += 1800.0;
  EXPECT_FALSE(meter.spend().amount.has_value());
  EXPECT_DOUBLE_EQ(meter.spend().gpu_hours, 2.0);
  EXPECT_FALSE(meter.to_finish(10.0).amount.has_value());
  // What was priced before stays known.
  const CostMeter later(at(0.0), 4, {.earlier = {.gpu_hours = 1.0, .amount = 3.0, .currency = "USD"}},
                        clock());
  EXPECT_DOUBLE_EQ(later.spend().amount.value(), 3.0);
}

TEST_F(CostMeterTest, RefusesWhatCannotBe) {
  EXPECT_THROW(CostMeter(at(-1.0), 1), std::invalid_argument);
  EXPECT_THROW(CostMeter(at(std::nan("")), 1), std::invalid_argument);
  EXPECT_THROW(CostMeter(at(1.0), 0), std::invalid_argument);
  EXPECT_THROW(CostMeter(at(1.0), 1, {.earlier = {.gpu_hours = 1.0, .amount = 1.0, .currency = "EUR"}}),
               std::invalid_argument);
}

TEST(CostMeterClock, GoesOn) {
  const CostMeter meter(at(1.0), 1);
  const double first = meter.running_s();
  EXPECT_GE(first, 0.0);
  EXPECT_GE(meter.running_s(), first);
  EXPECT_LT(first, 60.0);
}

}  // namespace
}  // namespace lockstep
