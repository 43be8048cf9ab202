#include "trainer/estimate/estimate_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr double kGib = 1 << 30;
constexpr double kMib = 1 << 20;

const EstimateFacts kFacts = {.model = "bert-base",
                              .num_parameters = 109482240,
                              .data = "synthetic-tokens",
                              .optimizer = "adamw",
                              .precision = "32-true",
                              .sequence_length = 128,
                              .optimizer_ranks = 2,
                              .host_overhead_bytes = 300 * kMib};
const StepMemory kMemory = {.weights = 0.5 * kGib,
                            .gradients = 0.5 * kGib,
                            .optimizer = 1 * kGib,
                            .activations = {256 * kMib, 64 * kMib}};
const PlannedRun kRun = {.batch_size = 8, .total_samples = 12000, .flops_per_sample = 85.5e9};

TEST(EstimateReport, WhatKernelsTakeForEachSampleCountsOnThisCpuOnly) {
  EstimateFacts facts = kFacts;
  facts.host_kernels_per_sample = 256 * kMib;
  const std::string text = estimate_text(facts, kMemory, kRun, {});
  EXPECT_THAT(text, HasSubstr("  on a GPU          3.50 GiB"));
  EXPECT_THAT(text,
              HasSubstr("  on this CPU       4.54 GiB"));  // 0.5 + 0.5 + 0.5 + 0.75 + 300 MiB + 8 x 256 MiB
  EXPECT_THAT(text, HasSubstr("256.0 MiB a sample for its kernels (measured)"));
  facts.host_kernels_per_evaluated_sample = 1024 * kMib;  // evaluation decides
  PlannedRun run = kRun;
  run.eval_batch_size = 3;
  EXPECT_THAT(estimate_text(facts, kMemory, run, {}),
              HasSubstr("  on this CPU       4.79 GiB"));  // 4.54 - 0.75 - 2 + 3
}

TEST(EstimateReport, SaysPartsSumsRowsAndAssumptions) {
  const auto offers = estimate_offers(
      {{"V100", 16, Price{2.48, "USD"}, "us (2026-01-01)"}, {"TPU-v3", 128, {}, ""}}, kMemory, kRun);
  const std::string text = estimate_text(kFacts, kMemory, kRun, offers);
  EXPECT_THAT(text,
              HasSubstr("bert-base, 109,482,240 parameters, synthetic-tokens, sequences of 128 tokens"));
  EXPECT_THAT(text, HasSubstr("  optimizer         1.00 GiB   adamw\n"));
  EXPECT_THAT(text, HasSubstr("at batch 8: 64.0 MiB a sample, and 256.0 MiB"));
  EXPECT_THAT(text, HasSubstr("  on a GPU          3.50 GiB"));  // 0.5 + 0.5 + 1 + 0.75 + 0.75
  EXPECT_THAT(text,
              HasSubstr("  on this CPU       3.29 GiB"));  // 0.5 + 0.5 + 0.5 + 300 MiB + 1.5, while it saves
  EXPECT_THAT(text, HasSubstr("cheapest  fastest"));
  EXPECT_THAT(text, HasSubstr("speed not known"));
  EXPECT_THAT(text, HasSubstr("\n  V100    $2.48, us (2026-01-01)\n"));
  EXPECT_THAT(text, HasSubstr("40 % of the GPU's peak (--efficiency, assumed)"));
}

TEST(EstimateReport, JsonHasTheSameNumbers) {
  const auto offers = estimate_offers(
      {{"V100", 16, Price{2.48, "USD"}, "a \xff source"}, {"TPU-v3", 128, {}, ""}}, kMemory, kRun);
  const auto json = nlohmann::json::parse(estimate_json(kFacts, kMemory, kRun, offers));
  EXPECT_EQ(json["memory_bytes"]["on_gpu"], 3.5 * kGib);
  EXPECT_EQ(json["memory_bytes"]["on_this_cpu"], 3 * kGib + 300 * kMib);
  EXPECT_EQ(json["memory_bytes"]["activations"], 768 * kMib);
  ASSERT_EQ(json["offers"].size(), 2u);
  EXPECT_EQ(json["offers"][0]["currency"], "USD");
  EXPECT_TRUE(json["offers"][0]["fits"]);
  EXPECT_TRUE(json["offers"][1]["hours"].is_null());
}

}  // namespace
}  // namespace lockstep
