#include "trainer/metrics/step_timer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <vector>

namespace lockstep {
namespace {

std::int64_t now_ns = 0;
std::int64_t fake_clock() {
  return now_ns;
}

class StepTimerTest : public ::testing::Test {
 protected:
  void SetUp() override { now_ns = 1'000'000; }
  // Spends `ns` in `part`.
  void spend(StepPart part, std::int64_t ns) {
    timer_.begin(part);
    now_ns += ns;
  }
  StepTimer timer_{fake_clock};
};

TEST_F(StepTimerTest, SharesAStepOut) {
  timer_.begin_step();
  now_ns += 1;  // other
  spend(StepPart::kData, 10);
  spend(StepPart::kForward, 100);
  spend(StepPart::kBackward, 1000);
  spend(StepPart::kForward, 200);  // a second micro-batch
  EXPECT_EQ(timer_.part(), StepPart::kForward);
  spend(StepPart::kBackward, 2000);
  spend(StepPart::kOptimizer, 10000);
  spend(StepPart::kOther, 4);
  const StepTimes times = timer_.end_step();
  EXPECT_EQ(times.steps, 1);
  EXPECT_EQ(times.part_ns(StepPart::kData), 10);
  EXPECT_EQ(times.part_ns(StepPart::kForward), 300);
  EXPECT_EQ(times.part_ns(StepPart::kBackward), 3000);
  EXPECT_EQ(times.part_ns(StepPart::kExposedCommunication), 0);
  EXPECT_EQ(times.part_ns(StepPart::kOptimizer), 10000);
  EXPECT_EQ(times.part_ns(StepPart::kOther), 5);
  EXPECT_EQ(times.total_ns(), 13315);
}

TEST_F(StepTimerTest, AnObserverHearsEachPieceWithItsTimes) {
  std::vector<std::string> heard;
  timer_.set_observer([&](StepPart part, std::int64_t begin_ns, std::int64_t end_ns) {
    heard.push_back(std::string(step_part_name(part)) + " " + std::to_string(begin_ns) + " " +
                    std::to_string(end_ns));
  });
  timer_.begin_step();
  spend(StepPart::kForward, 10);
  spend(StepPart::kBackward, 5'000);
  timer_.add_exposed_communication(0.000001);
  spend(StepPart::kForward, 20);
  timer_.end_step();
  // "other" at the step's begin took no time, and is not told.
  EXPECT_EQ(heard, (std::vector<std::string>{"forward 1000000 1000010", "backward 1000010 1005010",
                                             "forward 1005010 1005030"}));
  heard.clear();
  timer_.set_observer(nullptr);
  timer_.begin_step();
  spend(StepPart::kForward, 10);
  timer_.end_step();
  EXPECT_TRUE(heard.empty());
}

TEST_F(StepTimerTest, MovesExposedCommunicationOutOfThePartItWasIn) {
  timer_.begin_step();
  spend(StepPart::kBackward, 5'000'000);
  timer_.add_exposed_communication(0.001);
  timer_.add_exposed_communication(0.0005);
  now_ns += 1'000'000;
  spend(StepPart::kOptimizer, 1'000);
  const StepTimes times = timer_.end_step();
  EXPECT_EQ(times.part_ns(StepPart::kExposedCommunication), 1'500'000);
  EXPECT_EQ(times.part_ns(StepPart::kBackward), 4'500'000);
  EXPECT_EQ(times.total_ns(), 6'001'000);
}

TEST_F(StepTimerTest, MovesNoMoreThanTheTimeThereWas) {
  timer_.begin_step();
  spend(StepPart::kForward, 700);
  spend(StepPart::kBackward, 1000);
  timer_.add_exposed_communication(1.0);
  timer_.add_exposed_communication(1.0);
  timer_.add_exposed_communication(-1.0);
  timer_.add_exposed_communication(std::nan(""));
  timer_.add_exposed_communication(INFINITY);
  const StepTimes times = timer_.end_step();
  EXPECT_EQ(times.part_ns(StepPart::kExposedCommunication), 1000);
  EXPECT_EQ(times.part_ns(StepPart::kBackward), 0);
  EXPECT_EQ(times.part_ns(StepPart::kForward), 700);
}

TEST_F(StepTimerTest, SumsStepsUntilTheyAreTaken) {
  for (int i = 0; i < 4; ++i) {
    timer_.begin_step();
    spend(StepPart::kForward, 3'000'000);
    spend(StepPart::kData, 1'000'000);
    timer_.end_step();
    now_ns += 77;  // between steps: part of none
  }
  const StepTimes sum = timer_.take_sum();
  EXPECT_EQ(sum.steps, 4);
  EXPECT_EQ(sum.total_ns(), 16'000'000);
  EXPECT_DOUBLE_EQ(sum.mean_step_s(), 0.004);
  EXPECT_DOUBLE_EQ(sum.mean_part_s(StepPart::kForward), 0.003);
  EXPECT_DOUBLE_EQ(sum.share(StepPart::kData), 0.25);
  EXPECT_EQ(timer_.take_sum().steps, 0);
  EXPECT_EQ(StepTimes{}.mean_step_s(), 0.0);
  EXPECT_EQ(StepTimes{}.mean_part_s(StepPart::kData), 0.0);
  EXPECT_EQ(StepTimes{}.share(StepPart::kData), 0.0);
}

TEST_F(StepTimerTest, DropsAStepThatWasNotEnded) {
  timer_.begin_step();
  spend(StepPart::kForward, 500);
  timer_.begin_step();
  spend(StepPart::kForward, 7);
  timer_.end_step();
  EXPECT_EQ(timer_.take_sum().total_ns(), 7);
}

TEST_F(StepTimerTest, WantsAStepFirst) {
  EXPECT_THROW(timer_.begin(StepPart::kData), std::logic_error);
  EXPECT_THROW(timer_.end_step(), std::logic_error);
  EXPECT_THROW(timer_.add_exposed_communication(1.0), std::logic_error);
  timer_.begin_step();
  timer_.end_step();
  EXPECT_THROW(timer_.end_step(), std::logic_error);
}

TEST(StepTimer, AddsUpExactlyWithTheRealClock) {
  StepTimer timer;
  StepTimes sum;
  const std::int64_t before = StepTimer::monotonic_ns();
  for (int i = 0; i < 1000; ++i) {
    timer.begin_step();
    for (int part = 0; part < kStepPartCount; ++part) timer.begin(static_cast<StepPart>(part));
    timer.add_exposed_communication(1e-8);
    sum += timer.end_step();
  }
  const std::int64_t wall = StepTimer::monotonic_ns() - before;
  EXPECT_GT(sum.total_ns(), 0);
  EXPECT_LE(sum.total_ns(), wall);
  for (const std::int64_t part : sum.parts_ns) EXPECT_GE(part, 0);
  EXPECT_EQ(timer.take_sum().total_ns(), sum.total_ns());
}

TEST(StepPartName, IsTheContracts) {
  std::string names;
  for (int part = 0; part < kStepPartCount; ++part)
    names += std::string(step_part_name(static_cast<StepPart>(part))) + " ";
  EXPECT_EQ(names, "data forward backward exposed_communication optimizer other ");
}

}  // namespace
}  // namespace lockstep
