#include "trainer/early_stopping.h"

#include <gtest/gtest.h>

#include <limits>

namespace lockstep {
namespace {

TEST(EarlyStopping, CountsEvaluationsWithoutImprovement) {
  const MonitorOptions options{.monitor = "test_loss", .patience = 2};
  MonitorState state;
  EXPECT_FALSE(stops_early(state, options));
  for (const double loss : {1.0, 0.8, 0.9}) observe(state, options, loss, 0);
  EXPECT_FALSE(stops_early(state, options));  // one without improvement
  observe(state, options, 0.7, 0);
  observe(state, options, 0.7, 0);
  EXPECT_FALSE(stops_early(state, options));
  observe(state, options, 0.71, 0);
  EXPECT_TRUE(stops_early(state, options));
}

TEST(EarlyStopping, AnImprovementExceedsTheMinimumChange) {
  const MonitorOptions options{.monitor = "test_loss", .patience = 2, .min_delta = 0.125};
  MonitorState state;
  // 0.875 is not below 1 - 0.125; small improvements add up against the last value that counted.
  for (const double loss : {1.0, 0.875}) observe(state, options, loss, 0);
  EXPECT_EQ(state.without_improvement, 1);
  observe(state, options, 0.8125, 0);
  EXPECT_EQ(state.without_improvement, 0);
  EXPECT_EQ(state.reference, 0.8125);
}

TEST(EarlyStopping, AccuracyImprovesUpwards) {
  const MonitorOptions options{.monitor = "test_accuracy", .patience = 1};
  MonitorState state;
  for (const double accuracy : {0.5, 0.6}) observe(state, options, accuracy, 0);
  EXPECT_FALSE(stops_early(state, options));
  observe(state, options, 0.55, 0);
  EXPECT_TRUE(stops_early(state, options));
}

TEST(EarlyStopping, RemembersTheBestWhateverTheMinimumChange) {
  const MonitorOptions options{.monitor = "test_loss", .patience = 5, .min_delta = 1.0};
  MonitorState state;
  observe(state, options, 0.5, 10);
  observe(state, options, 0.4, 20);
  observe(state, options, 0.4, 30);
  EXPECT_EQ(state.best, 0.4);
  EXPECT_EQ(state.best_step, 20);
  EXPECT_EQ(state.without_improvement, 2);
}

TEST(EarlyStopping, NaNNeverImproves) {
  const MonitorOptions options{.monitor = "test_loss", .patience = 2};
  MonitorState state;
  observe(state, options, std::numeric_limits<double>::quiet_NaN(), 10);
  EXPECT_EQ(state.best_step, std::nullopt);
  observe(state, options, 3.0, 20);
  EXPECT_EQ(state.best_step, 20);
  EXPECT_EQ(state.without_improvement, 0);
}

TEST(EarlyStopping, AnotherMonitorBeginsAnew) {
  MonitorState state;
  for (int i = 0; i < 3; ++i) observe(state, {.monitor = "test_loss", .patience = 2}, 0.3, 10);
  const MonitorOptions options{.monitor = "test_accuracy", .patience = 2};
  EXPECT_FALSE(stops_early(state, options));
  observe(state, options, 0.1, 40);
  EXPECT_EQ(state.best, 0.1);
  EXPECT_EQ(state.without_improvement, 0);
}

TEST(EarlyStopping, NoPatienceNeverStops) {
  MonitorState state;
  for (int i = 0; i < 10; ++i) observe(state, {.patience = 0}, 1.0, i);
  EXPECT_FALSE(stops_early(state, {.patience = 0}));
}

}  // namespace
}  // namespace lockstep
