#include "bench/scaling/study_findings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/bench/scaling/small_study.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

ScalingConfig a_config(const std::string& mode = "weak") {
  return parse_scaling_command({"--links", "8gbit", "--model", "mlp", "--max-ranks", "8",
                                "--samples-per-epoch", "6400", "--mode", mode});
}

TEST(Findings, LinksHaveTheirFitTheirRateAndWhoCarriedIt) {
  const Findings findings = findings_of(small_study(), a_config(), {});
  ASSERT_EQ(findings.links.size(), 2U);
  EXPECT_NEAR(findings.links[0].fit.all_reduce.s_per_byte, 1e-9, 1e-18);
  EXPECT_NEAR(findings.links[0].fit.worst_residual(), 0.0, 1e-9);
  EXPECT_NEAR(*findings.links[0].attained_gbit_per_s, 8.0, 1e-9);
  EXPECT_EQ(findings.links[0].nominal_gbit_per_s, 8.0);
  EXPECT_EQ(findings.links[0].carrier, "lo 0.0 %, wire0 101.0 %");
}

TEST(Findings, PredictionsAreFromTheFewestRanksAndStandBesideWhatWasMeasured) {
  const Findings findings = findings_of(small_study(), a_config(), {});
  ASSERT_EQ(findings.steps.size(), 2U);
  const StepFinding& two = findings.steps[0];
  EXPECT_NEAR(two.predicted_s, 11e-3, 1e-12);  // 1 MB at 1 ns a byte behind 10 ms
  EXPECT_NEAR(two.error, 0.0, 1e-9);
  EXPECT_FALSE(two.oversubscribed);
  const StepFinding& four = findings.steps[1];
  EXPECT_EQ(four.fitted_at, 2);
  EXPECT_NEAR(four.predicted_s, 11.5e-3, 1e-12);  // 2 * 3/4 ns a byte
  EXPECT_NEAR(four.error, 11.5 / 12 - 1, 1e-9);
  EXPECT_TRUE(four.oversubscribed);  // on two cores
  ASSERT_EQ(four.predicted_buckets.size(), 1U);
  EXPECT_NEAR(four.predicted_buckets[0].end_s, 7.5e-3, 1e-12);
}

// Two ranks take 2 ms longer than reckoned, half a mean delay: so a delay is 4 ms long, and four ranks wait
// 13/12 of it.
TEST(Findings, WhatTwoRanksWaitForEachOtherGrowsWithTheirNumber) {
  Study study = small_study();
  for (StepMeasurement& step : study.steps) {
    for (ContenderStep& contender : step.contenders) {
      if (step.ranks == 2 && contender.contender == "replayed") contender.time_s.median = 13e-3;
    }
  }
  const Findings findings = findings_of(study, a_config(), {});
  EXPECT_NEAR(findings.steps[0].predicted_s, 11e-3, 1e-12);
  EXPECT_NEAR(findings.steps[0].straggling_s, 0.0, 1e-12);
  EXPECT_NEAR(findings.steps[1].straggling_s, 4e-3 * 13 / 12, 1e-12);
  EXPECT_NEAR(findings.steps[1].predicted_s, 11.5e-3 + 4e-3 * 13 / 12, 1e-12);
  EXPECT_NEAR(findings.epochs[0].rows[2].step_s, 11.5e-3 + 4e-3 * 13 / 12, 1e-12);
}

// On one of three links something disturbed two ranks for 50 ms.
TEST(Findings, WhatDisturbedOneLinkIsNobodysDelay) {
  Study study = small_study();
  const Study one = study;
  for (const std::string other : {"9gbit", "10gbit"}) {
    for (LinkMeasurement link : one.links) {
      link.link = other;
      study.links.push_back(link);
    }
    for (StepMeasurement step : one.steps) {
      if (step.link.empty()) continue;
      step.link = other;
      for (ContenderStep& contender : step.contenders) {
        if (other == "9gbit" && step.ranks == 2) contender.time_s.median += 50e-3;
      }
      study.steps.push_back(step);
    }
  }
  const ScalingConfig config = parse_scaling_command(
      {"--links", "8gbit,9gbit,10gbit", "--model", "mlp", "--max-ranks", "8", "--samples-per-epoch", "6400"});
  const Findings findings = findings_of(study, config, {});
  ASSERT_EQ(findings.steps.size(), 6U);
  for (const StepFinding& step : findings.steps) EXPECT_NEAR(step.straggling_s, 0.0, 1e-12) << step.link;
}

// A replay that takes 1 ms more than its 10 ms on one rank does so on each core; the epoch is one of real
// steps.
TEST(Findings, WhatReplayingTakesIsNoCommunication) {
  Study study = small_study();
  study.lone_replays.push_back({"",
                                1,
                                study.profiles[0].workload,
                                study.profiles[0].batch_size,
                                {{"replayed", {11e-3, 11e-3, 11e-3}}}});
  for (StepMeasurement& step : study.steps) {
    for (ContenderStep& contender : step.contenders) {
      if (step.ranks == 2 && contender.contender == "replayed") contender.time_s.median = 12e-3;
    }
  }
  const Findings findings = findings_of(study, a_config(), {});
  EXPECT_NEAR(findings.steps[0].predicted_s, 12e-3, 1e-12);
  EXPECT_NEAR(findings.steps[0].predicted_efficiency, 10.0 / 11.0, 1e-9);
  EXPECT_NEAR(findings.steps[1].replaying_s, 2e-3, 1e-12);  // two turns on two cores
  EXPECT_NEAR(findings.steps[1].straggling_s, 0.0, 1e-12);
  EXPECT_NEAR(findings.steps[1].predicted_s, 13.5e-3, 1e-12);
  EXPECT_NEAR(findings.epochs[0].rows[2].step_s, 11.5e-3, 1e-12);
}

// 2 ns of CPU time a byte for two ranks are three times that for four, on two cores 3 ns.
TEST(Findings, HostsOfOneMachineShareItsCores) {
  Study study = small_study();
  for (SizeTime& time : study.links[0].times) time.cpu_s = static_cast<double>(time.bytes) * 2e-9;
  const Findings findings = findings_of(study, a_config(), {});
  EXPECT_NEAR(findings.steps[0].predicted_s, 11e-3, 1e-9);
  EXPECT_NEAR(findings.steps[1].predicted_s, 13e-3, 1e-9);
  EXPECT_NEAR(findings.epochs[0].rows[2].step_s, 11.5e-3, 1e-9);  // four machines have cores of their own
}

TEST(Findings, EfficiencyIsOneRanksStepOverThatOfMany) {
  const Findings weak = findings_of(small_study(), a_config(), {});
  EXPECT_NEAR(weak.steps[0].efficiency, 0.8, 1e-9);           // 10 / 12.5
  EXPECT_NEAR(weak.steps[0].pytorch_efficiency, 0.75, 1e-9);  // 12 / 16
  EXPECT_NEAR(weak.steps[0].predicted_efficiency, 10.0 / 11.0, 1e-9);
  EXPECT_NEAR(weak.steps[1].efficiency, 0.5, 1e-9);
  // The same times of a batch that is shared out: 10 / (2 * 12.5).
  const Findings strong = findings_of(small_study(), a_config("strong"), {});
  EXPECT_NEAR(strong.steps[0].efficiency, 0.4, 1e-9);
}

TEST(Findings, AnEpochOnMoreRanksCostsWhatItsPriceSays) {
  const Findings findings = findings_of(small_study(), a_config(), {3.6, "USD"});
  ASSERT_EQ(findings.epochs.size(), 1U);
  const auto& rows = findings.epochs[0].rows;
  ASSERT_EQ(rows.size(), 4U);
  EXPECT_NEAR(rows[0].epoch_s, 1.0, 1e-9);  // 100 steps of 10 ms
  EXPECT_NEAR(*rows[0].cost, 1e-3, 1e-12);
  EXPECT_EQ(rows[3].ranks, 8);
  EXPECT_NEAR(rows[3].step_s, 11.75e-3, 1e-12);  // 2 * 7/8 ns a byte
}

TEST(Findings, WhatWasNotMeasuredIsNotReckonedWith) {
  Study study = small_study();
  study.links.clear();
  const Findings findings = findings_of(study, a_config(), {});
  EXPECT_TRUE(findings.links.empty());
  EXPECT_TRUE(findings.steps.empty());
  EXPECT_TRUE(findings.epochs.empty());
}

TEST(Findings, TheTablesSayWhatIsMissingAndWhoIsOversubscribed) {
  const Study study = small_study();
  const ScalingConfig config = a_config();
  const std::string text =
      to_plain_text(study, findings_of(study, config, {3.6, "USD"}), config, {3.6, "USD"});
  EXPECT_THAT(text, HasSubstr("all-reduce over 1gbit, 2 ranks: it takes root"));
  EXPECT_THAT(text, HasSubstr("4*"));
  EXPECT_THAT(text, HasSubstr("oversubscribed"));
  EXPECT_THAT(text, HasSubstr("-4.2 %"));  // 11.5 predicted, 12 measured
  EXPECT_THAT(text, HasSubstr("$3.60 per GPU-hour"));
}

}  // namespace
}  // namespace lockstep
