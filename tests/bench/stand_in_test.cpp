#include "bench/stand_in.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "bench/step_recorder.h"
#include "comm/distributed_data_parallel.h"
#include "comm/thread_communicator.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// 10 ms forward, 60 ms backward, 5 ms optimizer; the larger gradient first.
StepProfile a_profile() {
  return {"toy", 8, 0.010, 0.060, 0.005, {{0.020, 4000}, {0.040, 400}}};
}

TEST(StandIn, TakesTheRecordedTimesAndHasTheRecordedGradients) {
  StandIn stand_in(a_profile());
  double quickest_s = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 5; ++pass) {
    stand_in.zero_grad_to_none();
    const auto begin = Clock::now();
    const at::Tensor loss = stand_in.forward();
    EXPECT_GE(seconds_since(begin), 0.010);
    loss.backward();
    EXPECT_GE(seconds_since(begin), 0.070);
    quickest_s = std::min(quickest_s, seconds_since(begin));
  }
  // Absolute times: two gradients and the end are slept for once, not one after the other (130 ms).
  EXPECT_LT(quickest_s, 0.125);
  const auto parameters = stand_in.parameters();
  ASSERT_EQ(parameters.size(), 2U);
  EXPECT_EQ(parameters[0].numel(), 1000);
  EXPECT_EQ(parameters[1].numel(), 100);
  for (const at::Tensor& parameter : parameters) {
    ASSERT_TRUE(parameter.grad().defined());
    EXPECT_EQ(parameter.grad().abs().max().item<float>(), 0.0F);
  }
  const auto begin = Clock::now();
  stand_in.sleep_as_optimizer();
  EXPECT_GE(seconds_since(begin), 0.005);
  stand_in.zero_grad_to_none();
  EXPECT_FALSE(parameters[0].grad().defined());
}

TEST(StepRecorder, ReplaysPartsAndBuckets) {
  const CommunicatorPtr alone = make_thread_communicators(1, std::chrono::seconds(10)).front();
  const auto stand_in = std::make_shared<StandIn>(a_profile());
  DistributedDataParallel<StandIn> ddp(stand_in, alone);
  StepRecorder recorder(ddp.reducer(), 4400);
  EXPECT_FALSE(recorder.median());
  for (int step = 0; step < 3; ++step) {
    recorder.begin_step();
    stand_in->zero_grad_to_none();
    const at::Tensor loss = ddp.forward();
    recorder.end_forward();
    loss.backward();
    recorder.end_backward();
    stand_in->sleep_as_optimizer();
    recorder.end_step();
  }
  const auto median = recorder.median();
  ASSERT_TRUE(median);
  EXPECT_GE(median->forward_s, 0.010);
  EXPECT_GE(median->backward_s + median->exposed_s, 0.055);
  EXPECT_GE(median->optimizer_s, 0.005);
  // Both gradients are in one bucket, which is full with the later one.
  ASSERT_EQ(median->buckets.size(), 1U);
  EXPECT_EQ(median->buckets[0].bytes, 4400);
  EXPECT_GE(median->buckets[0].ready_s, 0.039);
  EXPECT_GE(median->buckets[0].begin_s, median->buckets[0].ready_s);
  EXPECT_GE(median->buckets[0].end_s, median->buckets[0].begin_s);
}

}  // namespace
}  // namespace lockstep
