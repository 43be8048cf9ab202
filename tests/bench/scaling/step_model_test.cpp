#include "bench/scaling/step_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kMiB = 1 << 20;

// 2 s forward, 4 s backward, 1 s optimizer; 1 MiB is ready at 1 s, 25 MiB at 3 s, 2 MiB at 3.5 s.
StepProfile a_profile() {
  return {"toy", 8, 2.0, 4.0, 1.0, {{1.0, kMiB}, {3.0, 25 * kMiB}, {3.5, 2 * kMiB}}};
}

TEST(PredictStep, BucketsTravelUnderTheBackwardPass) {
  // A second of latency and nothing else: buckets are PyTorch's, of 1 and 25 MiB, and the rest. They leave at
  // 1, 3 and 4 s; the last arrives at 5 s, a second after the backward pass.
  const StepPrediction step = predict_step(a_profile(), {1.0, 0.0}, Exchange::kBuckets);
  ASSERT_EQ(step.buckets.size(), 3U);
  EXPECT_EQ(step.buckets[1].bytes, 25 * kMiB);
  EXPECT_NEAR(step.buckets[2].begin_s, 4.0, 1e-12);
  EXPECT_NEAR(step.exposed_s, 1.0, 1e-12);
  EXPECT_NEAR(step.step_s, 8.0, 1e-12);
}

TEST(PredictStep, WhatIsHiddenCostsNothing) {
  const StepPrediction step = predict_step(a_profile(), {0.1, 0.0}, Exchange::kBuckets);
  EXPECT_EQ(step.exposed_s, 0.0);
  EXPECT_NEAR(step.step_s, 7.0, 1e-12);
}

TEST(PredictStep, AfterTheBackwardPassEverythingIsExposed) {
  // 28 MiB at 0.1 s each, after a second of latency: from 4 s to 7.8 s.
  const StepPrediction step = predict_step(a_profile(), {1.0, 0.1 / kMiB}, Exchange::kAfterBackward);
  ASSERT_EQ(step.buckets.size(), 1U);
  EXPECT_EQ(step.buckets[0].bytes, 28 * kMiB);
  EXPECT_NEAR(step.buckets[0].begin_s, 4.0, 1e-12);
  EXPECT_NEAR(step.exposed_s, 3.8, 1e-9);
  EXPECT_NEAR(step.step_s, 10.8, 1e-9);
}

TEST(StepProfile, ComesBackFromItsFile) {
  const StepProfile before = a_profile();
  const StepProfile after = step_profile_from_json_text(to_json_text(before));
  EXPECT_EQ(after.workload, "toy");
  EXPECT_EQ(after.batch_size, 8);
  EXPECT_EQ(after.step_s(), 7.0);
  EXPECT_EQ(after.gradient_bytes(), 28 * kMiB);
  EXPECT_EQ(after.arrivals.size(), 3U);
  EXPECT_EQ(after.arrivals[2].ready_s, 3.5);
}

TEST(StepProfile, WhatIsNoneIsRefused) {
  const std::string head = R"({"workload":"toy","batch_size":8,"forward_s":1,"optimizer_s":1,)";
  for (const std::string& text :
       {std::string("no JSON"), std::string("{}"), head + R"("backward_s":-1,"arrivals":[[0,4]]})",
        head + R"("backward_s":2,"arrivals":[]})", head + R"("backward_s":2,"arrivals":[[1,4],[0.5,4]]})",
        head + R"("backward_s":2,"arrivals":[[3,4]]})", head + R"("backward_s":2,"arrivals":[[1,0]]})"}) {
    EXPECT_THROW(step_profile_from_json_text(text), std::invalid_argument) << text;
  }
}

TEST(StepProfile, AFileThatIsNoneIsNamed) {
  const TemporaryFolder folder;
  const std::string file = folder.path() / "profile.json";
  EXPECT_THROW(read_step_profile(file), DataError);
  std::ofstream(file) << "[]";
  try {
    read_step_profile(file);
    ADD_FAILURE();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr(file));
    EXPECT_THAT(error.what(), HasSubstr("--record-profile"));
  }
}

}  // namespace
}  // namespace lockstep
