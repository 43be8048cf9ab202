#include "comm/bucket_timeline.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

// Four gradients of 10 bytes, one a second from 1 s on. A byte travels in 0.1 s after a latency of 0.5 s.
const std::vector<GradientArrival> kArrivals = {{1.0, 10}, {2.0, 10}, {3.0, 10}, {4.0, 10}};
constexpr LinkModel kLink{0.5, 0.1};

TEST(BucketTimeline, BucketsLeaveInOrderAndOneAtATime) {
  // The first bucket holds one gradient, the others two and the one that is left.
  const auto buckets = bucket_timeline(kArrivals, kLink, 10, 20);
  ASSERT_EQ(buckets.size(), 3U);
  EXPECT_EQ(buckets[0].bytes, 10);
  EXPECT_NEAR(buckets[0].begin_s, 1.0, 1e-12);
  EXPECT_NEAR(buckets[0].end_s, 2.5, 1e-12);
  EXPECT_EQ(buckets[1].bytes, 20);
  EXPECT_NEAR(buckets[1].ready_s, 3.0, 1e-12);
  EXPECT_NEAR(buckets[1].begin_s, 3.0, 1e-12);  // the link has been free since 2.5 s
  EXPECT_NEAR(buckets[1].end_s, 5.5, 1e-12);
  EXPECT_EQ(buckets[2].bytes, 10);
  EXPECT_NEAR(buckets[2].ready_s, 4.0, 1e-12);
  EXPECT_NEAR(buckets[2].begin_s, 5.5, 1e-12);  // it waits for the second
  EXPECT_NEAR(buckets[2].end_s, 7.0, 1e-12);
}

TEST(BucketTimeline, WithoutGradientsThereIsNone) {
  EXPECT_TRUE(bucket_timeline({}, kLink, 10, 20).empty());
}

}  // namespace
}  // namespace lockstep
