#include "trainer/cost/run_parts.h"

#include <gtest/gtest.h>

#include "trainer/cost/budget.h"
#include "trainer/cost/projection.h"

namespace lockstep {
namespace {

TEST(PartMeter, SharesOutEveryMoment) {
  PartMeter meter;
  EXPECT_DOUBLE_EQ(meter.times(3.0)[RunPart::kStartUp], 3.0);
  meter.stepped(2.0, 0.5, 0.25, false, 10.0);  // from 8 to 10
  meter.stepped(1.0, 0.0, 0.0, true, 12.0);    // from 11
  meter.enter(RunPart::kEvaluation, 12.5);
  meter.enter(RunPart::kIdle, 15.0);
  meter.enter(RunPart::kCheckpoint, 15.25);
  const RunPartTimes times = meter.times(20.0);
  EXPECT_DOUBLE_EQ(times[RunPart::kStartUp], 8.0);
  EXPECT_DOUBLE_EQ(times[RunPart::kExposedCommunication], 0.5);
  EXPECT_DOUBLE_EQ(times[RunPart::kData], 0.25);
  EXPECT_DOUBLE_EQ(times[RunPart::kCompute], 1.25);
  EXPECT_DOUBLE_EQ(times[RunPart::kRework], 1.0);
  EXPECT_DOUBLE_EQ(times[RunPart::kIdle], 1.75);
  EXPECT_DOUBLE_EQ(times[RunPart::kEvaluation], 2.5);
  EXPECT_DOUBLE_EQ(times[RunPart::kCheckpoint], 4.75);
  EXPECT_DOUBLE_EQ(times.total_s(), 20.0);
}

TEST(PartMeter, AStepIsNeverLongerThanTheTimeThereWas) {
  PartMeter meter;
  meter.stepped(5.0, 4.0, 4.0, false, 1.0);
  const RunPartTimes times = meter.times(1.0);
  EXPECT_DOUBLE_EQ(times.total_s(), 1.0);
  EXPECT_DOUBLE_EQ(times[RunPart::kData], 0.5);
  EXPECT_DOUBLE_EQ(times[RunPart::kCompute], 0.0);
}

TEST(Projection, CountsWhatComesSeldomInFull) {
  Projection projection;
  EXPECT_FALSE(projection.remaining_s({100, 1, 1}).has_value());
  for (int i = 0; i < 3; ++i) projection.stepped(100.0);  // warming up
  EXPECT_FALSE(projection.step_s().has_value());
  for (int i = 0; i < 4; ++i) projection.stepped(0.5);
  projection.expect_evaluation(3.0);
  projection.expect_save(2.0);
  EXPECT_DOUBLE_EQ(*projection.remaining_s({100, 2, 3}), 50.0 + 6.0 + 6.0);
  projection.evaluated(10.0);
  projection.saved(1.0);
  projection.saved(3.0);
  EXPECT_DOUBLE_EQ(*projection.remaining_s({100, 2, 3}), 50.0 + 20.0 + 6.0);
}

// Ten epochs of 100 steps, each epoch with an evaluation and a save: warm-up is all that it gets wrong.
TEST(Projection, OfASteadyRunIsRightAfterAFifth) {
  constexpr double kStep_s = 0.1, kEvaluation_s = 3.0, kSave_s = 1.0;
  const double whole_s = 3 * 1.0 + 997 * kStep_s + 10 * (kEvaluation_s + kSave_s);
  Projection projection;
  projection.expect_evaluation(2.0);
  double now_s = 0.0;
  for (int step = 1; step <= 200; ++step) {
    const double took_s = step <= 3 ? 1.0 : kStep_s;
    projection.stepped(took_s);
    now_s += took_s;
    if (step % 100 != 0) continue;
    projection.evaluated(kEvaluation_s);
    projection.saved(kSave_s);
    now_s += kEvaluation_s + kSave_s;
  }
  EXPECT_NEAR((now_s + *projection.remaining_s({800, 8, 8})) / whole_s, 1.0, 0.001);
}

class BudgetTest : public ::testing::Test {
 protected:
  static CostMeter meter(double granularity_s) {
    Tariff tariff;
    tariff.price = {3600.0, "USD"};  // a dollar a second
    tariff.billing.granularity_s = granularity_s;
    return CostMeter(tariff, 1, {}, [] { return 0.0; });
  }
  const Budget budget_{300.0, 0.8, "USD"};
};

TEST_F(BudgetTest, StopsAtTheMark) {
  EXPECT_DOUBLE_EQ(budget_.mark(), 240.0);
  const CostMeter exact = meter(0.0);
  EXPECT_FALSE(budget_.crosses_mark(exact, 240.0, 0.0));
  EXPECT_TRUE(budget_.crosses_mark(exact, 240.5, 0.0));
  EXPECT_TRUE(budget_.crosses_mark(exact, 200.0, 50.0));
  EXPECT_FALSE(budget_.is_half_spent(149.0));
  EXPECT_TRUE(budget_.is_half_spent(150.0));
  EXPECT_EQ(budget_.describe(), "the budget of $300.00 (mark: $240.00)");
}

TEST_F(BudgetTest, StopsBeforeTheGranuleThatWouldCrossIt) {
  const CostMeter by_100_s = meter(100.0);
  EXPECT_FALSE(budget_.crosses_mark(by_100_s, 199.0, 0.0));
  EXPECT_TRUE(budget_.crosses_mark(by_100_s, 201.0, 0.0));  // a third granule: 300
}

}  // namespace
}  // namespace lockstep
