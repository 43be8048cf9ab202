#include "trainer/estimate/step_memory.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

TEST(StepMemory, ALineGoesThroughBothMeasurements) {
  const BatchBytes line = fit_batch_bytes(2, 700.0, 8, 1300.0);  // 100 a sample, and 500
  EXPECT_DOUBLE_EQ(line.per_sample, 100.0);
  EXPECT_DOUBLE_EQ(line.fixed, 500.0);
  EXPECT_DOUBLE_EQ(line.at(64), 6900.0);
}

// Noise between two batches must not promise that more samples take less.
TEST(StepMemory, TheLineNeverFalls) {
  const BatchBytes flat = fit_batch_bytes(2, 800.0, 8, 700.0);
  EXPECT_EQ(flat.per_sample, 0.0);
  EXPECT_EQ(flat.fixed, 700.0);
  EXPECT_THROW(fit_batch_bytes(2, 1.0, 2, 1.0), std::invalid_argument);
  EXPECT_THROW(fit_batch_bytes(0, 1.0, 2, 1.0), std::invalid_argument);
}

TEST(StepMemory, ThePeakIsThatOfTrainingOrOfEvaluation) {
  const StepMemory memory{.weights = 100,
                          .gradients = 100,
                          .optimizer = 200,
                          .communication = 50,
                          .activations = {10, 4},
                          .evaluation = {0, 2}};
  EXPECT_EQ(memory.peak(1000, 8, 1), 1450 + 10 + 32);
  EXPECT_EQ(memory.peak(1000, 8, 256), 1450 + 512);
}

TEST(StepMemory, TheLargestBatchIsTheLastThatFits) {
  const StepMemory memory{.weights = 100, .gradients = 100, .optimizer = 200, .activations = {10, 4}};
  EXPECT_EQ(largest_batch(memory, 90, 540), 10);  // 40 bytes are left for samples of 4
  EXPECT_EQ(largest_batch(memory, 90, 539), 9);
  EXPECT_LE(memory.peak(90, 10, 0), 540);
  EXPECT_GT(memory.peak(90, 11, 0), 540);
  EXPECT_EQ(largest_batch(memory, 90, 100), 0);
}

}  // namespace
}  // namespace lockstep
