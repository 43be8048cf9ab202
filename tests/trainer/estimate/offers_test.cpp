#include "trainer/estimate/offers.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

constexpr double kGib = 1 << 30;

Offer priced(const std::string& gpu, double memory_gib, double price, const std::string& currency = "USD") {
  return {gpu, memory_gib, Price{price, currency}, ""};
}

// 10 GiB, and 0.1 GiB a sample.
const StepMemory kMemory = {
    .weights = 2 * kGib, .gradients = 2 * kGib, .optimizer = 4 * kGib, .activations = {2 * kGib, 0.1 * kGib}};
// An hour on an A100 at 40 % of 19.5 TFLOP/s.
const PlannedRun kRun = {.batch_size = 32, .total_samples = 1000, .flops_per_sample = 19.5e12 * 0.4 * 3.6};

TEST(Offers, HoursAndMoneyFollowFromTheDataSheet) {
  const auto rows = estimate_offers({priced("A100", 40, 3.07)}, kMemory, kRun);
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_TRUE(rows[0].fits);
  EXPECT_NEAR(*rows[0].hours, 1.0, 1e-12);
  EXPECT_NEAR(*rows[0].cost, 3.07, 1e-12);
  EXPECT_EQ(rows[0].largest_batch, 292);  // (40 - 10 - 0.75) / 0.1 = 292.5
}

TEST(Offers, MoreGpusShareTheSamples) {
  PlannedRun run = kRun;
  run.ranks = 4;
  const auto rows = estimate_offers({priced("A100", 40, 3.07)}, kMemory, run);
  EXPECT_NEAR(*rows[0].hours, 0.25, 1e-12);
  EXPECT_NEAR(*rows[0].cost, 3.07, 1e-12);  // a quarter of the time, four times the GPUs
}

TEST(Offers, CheapestAndFastestAreMarkedAmongThoseThatFit) {
  const auto rows =
      estimate_offers({priced("T4", 16, 0.35), priced("V100", 16, 2.48), priced("A100", 40, 3.07),
                       priced("H100", 80, 20.0), priced("A100", 40, 15.2, "CNY")},
                      kMemory, {.batch_size = 64, .total_samples = 1000, .flops_per_sample = 1e13});
  EXPECT_FALSE(rows[0].fits);  // 10 + 0.75 + 6.4 GiB
  EXPECT_FALSE(rows[1].fits);
  EXPECT_FALSE(rows[0].cost);
  EXPECT_EQ(rows[1].largest_batch, 52);
  EXPECT_TRUE(rows[2].cheapest);
  EXPECT_FALSE(rows[2].fastest);
  EXPECT_TRUE(rows[3].fastest);
  EXPECT_FALSE(rows[3].cheapest);
  EXPECT_TRUE(rows[4].cheapest);  // the only one in its currency
}

TEST(Offers, WhatIsNotKnownIsSaidAndNotInvented) {
  PlannedRun run = kRun;
  run.arithmetic = Arithmetic::kBfloat16;
  const auto rows = estimate_offers(
      {priced("TPU-v3", 128, 8.0), priced("A100", 0, 3.07), priced("V100", 32, 2.48)}, kMemory, run);
  EXPECT_EQ(rows[0].remark, "speed not known");
  EXPECT_FALSE(rows[0].hours);
  EXPECT_EQ(rows[1].remark, "memory not known");
  EXPECT_FALSE(rows[1].hours);
  EXPECT_EQ(rows[2].remark, "no bfloat16: at the speed of float32");
  EXPECT_NEAR(*rows[2].hours, 19.5 / 15.7, 1e-12);
}

TEST(Offers, Float16HasTensorCoresWhereBfloat16HasNone) {
  PlannedRun run = kRun;
  run.arithmetic = Arithmetic::kFloat16;
  const auto rows = estimate_offers({priced("V100", 32, 2.48)}, kMemory, run);
  EXPECT_EQ(rows[0].remark, "");
  EXPECT_NEAR(*rows[0].hours, 19.5 / 125, 1e-12);
}

TEST(Offers, WithoutAPriceThereIsNoCost) {
  const auto rows = estimate_offers({{"A100", 40, {}, ""}}, kMemory, kRun);
  EXPECT_TRUE(rows[0].hours);
  EXPECT_FALSE(rows[0].cost);
  EXPECT_FALSE(rows[0].cheapest);
  EXPECT_TRUE(rows[0].fastest);
}

}  // namespace
}  // namespace lockstep
