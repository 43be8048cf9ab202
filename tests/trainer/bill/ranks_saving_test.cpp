#include "trainer/bill/ranks_saving.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

// An attempt whose steps took `seconds` and which came to `step`.
LedgerRecord attempt(int gpus, std::int64_t step, double seconds, const std::string& reason) {
  LedgerRecord record;
  record.gpus = gpus;
  record.step = step;
  record.price_per_gpu_hour = 3600.0;  // a dollar a GPU-second
  record.reason = reason;
  record.parts[RunPart::kCompute] = seconds - 1.0;
  record.parts[RunPart::kExposedCommunication] = 0.75;
  record.parts[RunPart::kData] = 0.25;
  record.parts[RunPart::kStartUp] = 2.0;
  record.parts[RunPart::kEvaluation] = 77.0;  // counts nowhere
  return record;
}

TEST(RanksSavingTest, AStepIsHeldAgainstWhatItTookBefore) {
  // 100 steps on 4 GPUs in 10 s: 0.4 GPU-seconds each. 100 more on 2 GPUs in 16 s: 32 instead of 40.
  const auto saving = saved_by_fewer_ranks({attempt(4, 100, 10.0, kFewerRanks), attempt(2, 200, 16.0, "")});
  ASSERT_TRUE(saving.has_value());
  EXPECT_EQ(saving->first_ranks, 4);
  EXPECT_EQ(saving->last_ranks, 2);
  EXPECT_EQ(saving->steps, 100);
  EXPECT_NEAR(*saving->before, 40.0, 1e-9);
  EXPECT_NEAR(saving->taken, 32.0, 1e-9);
  EXPECT_NEAR(saving->changes, 4.0, 1e-9);
  EXPECT_NEAR(saving->saved_gpu_hours(), 4.0 / 3600.0, 1e-12);
  EXPECT_EQ(describe(saving), "2 of 4 for 100 steps: saved $4.00 (10.0 %), restarts included");
}

TEST(RanksSavingTest, ALossIsToldAsOne) {
  auto attempts = std::vector{attempt(2, 100, 10.0, kFewerRanks), attempt(1, 150, 12.0, "finished")};
  EXPECT_EQ(describe(saved_by_fewer_ranks(attempts)),
            "1 of 2 for 50 steps: cost $4.00 more (40.0 %), restarts included");  // 10 instead of 12 + 2
  for (LedgerRecord& record : attempts) record.price_per_gpu_hour = 0.0;
  EXPECT_EQ(describe(saved_by_fewer_ranks(attempts)),
            "1 of 2 for 50 steps: cost 0.001 GPU-h more (40.0 %), restarts included");
}

TEST(RanksSavingTest, OnlyTheStartsOfChangesCount) {
  // A failure before the change, and one after it, whose start is nobody's fault here.
  const auto saving = saved_by_fewer_ranks({attempt(4, 50, 5.0, "failed"), attempt(4, 100, 5.0, kFewerRanks),
                                            attempt(2, 150, 5.0, "failed"), attempt(2, 200, 5.0, kFewerRanks),
                                            attempt(1, 300, 20.0, "finished")});
  EXPECT_NEAR(*saving->before, 80.0, 1e-9);
  EXPECT_NEAR(saving->taken, 40.0, 1e-9);
  EXPECT_NEAR(saving->changes, 6.0, 1e-9);
  EXPECT_EQ(saving->last_ranks, 1);
}

TEST(RanksSavingTest, NoneWhereNothingChanged) {
  EXPECT_FALSE(saved_by_fewer_ranks({}).has_value());
  EXPECT_FALSE(saved_by_fewer_ranks({attempt(2, 100, 10.0, "paused"), attempt(1, 200, 5.0, "")}).has_value());
  EXPECT_FALSE(saved_by_fewer_ranks({attempt(2, 100, 10.0, kFewerRanks)}).has_value());
  EXPECT_EQ(describe(std::nullopt), "");
}

}  // namespace
}  // namespace lockstep
