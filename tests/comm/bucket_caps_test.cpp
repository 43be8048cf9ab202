#include "comm/bucket_caps.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kNoCap = std::int64_t{1} << 40;

TEST(FitLink, FindsALineExactly) {
  const LinkModel link = fit_link({{0, 1e-4}, {1'000'000, 1.1e-3}, {10'000'000, 1.01e-2}});
  EXPECT_NEAR(link.latency_s, 1e-4, 1e-12);
  EXPECT_NEAR(link.s_per_byte, 1e-9, 1e-17);
}

TEST(FitLink, NeitherCoefficientIsNegative) {
  const LinkModel falling = fit_link({{0, 2e-3}, {1'000'000, 1e-3}});
  EXPECT_EQ(falling.s_per_byte, 0.0);
  EXPECT_GE(falling.latency_s, 1e-3);
  EXPECT_LE(falling.latency_s, 2e-3);
  const LinkModel steep = fit_link({{1'000, 1e-6}, {2'000, 1e-5}});
  EXPECT_EQ(steep.latency_s, 0.0);
  EXPECT_GT(steep.s_per_byte, 0.0);
}

TEST(FitLink, RefusesWhatNoLineGoesThrough) {
  EXPECT_THROW(fit_link({}), std::invalid_argument);
  EXPECT_THROW(fit_link({{8, 1e-3}}), std::invalid_argument);
  EXPECT_THROW(fit_link({{8, 1e-3}, {8, 2e-3}}), std::invalid_argument);
  EXPECT_THROW(fit_link({{8, 1e-3}, {16, 0.0}}), std::invalid_argument);
}

// Four gradients of 1 MiB, one a second from 1 s on; a MiB travels in 0.5 s after a latency of 0.1 s.
const std::vector<GradientArrival> kArrivals = {{1.0, kMiB}, {2.0, kMiB}, {3.0, kMiB}, {4.0, kMiB}};
constexpr LinkModel kLink{0.1, 0.5 / kMiB};

TEST(ExposedCommunication, FollowsFromTheTimesOfBuckets) {
  // A bucket each: the last leaves at 4 s and takes 0.6 s.
  EXPECT_NEAR(exposed_communication_s(kArrivals, kLink, 1, 1), 0.6, 1e-12);
  // One bucket: it leaves at 4 s and takes 2.1 s.
  EXPECT_NEAR(exposed_communication_s(kArrivals, kLink, kNoCap, kNoCap), 2.1, 1e-12);
  // One, then three: 4 s + 1.6 s.
  EXPECT_NEAR(exposed_communication_s(kArrivals, kLink, kMiB, kNoCap), 1.6, 1e-12);
  // Two and two: 4 s + 1.1 s.
  EXPECT_NEAR(exposed_communication_s(kArrivals, kLink, 2 * kMiB, 2 * kMiB), 1.1, 1e-12);
}

TEST(ExposedCommunication, BucketsWaitForEachOther) {
  // A latency of 2 s: buckets of one leave at 1, 3, 5 and 7 s, the last arrives at 9 s.
  EXPECT_NEAR(exposed_communication_s(kArrivals, {2.0, 0.0}, 1, 1), 5.0, 1e-12);
  EXPECT_NEAR(exposed_communication_s(kArrivals, {2.0, 0.0}, kNoCap, kNoCap), 2.0, 1e-12);
}

TEST(ChooseBucketCaps, ASmallLatencyFavoursSmallBucketsALargeOneLargeBuckets) {
  const BucketCaps small = choose_bucket_caps(kArrivals, kLink);
  EXPECT_NEAR(small.exposed_s, 0.6, 1e-12);  // of PyTorch's 1.6
  EXPECT_LE(small.rest_bytes, kMiB);
  const BucketCaps large = choose_bucket_caps(kArrivals, {5.0, 0.0});
  // All at once: 4 s + 5 s. Any two would be 1 s + 5 s + 5 s.
  EXPECT_NEAR(large.exposed_s, 5.0, 1e-12);
  EXPECT_GT(large.first_bytes, 3 * kMiB);
}

TEST(ChooseBucketCaps, PyTorchsStayWhereNothingIsToBeGained) {
  // A single gradient travels alone whatever the caps.
  const BucketCaps caps = choose_bucket_caps({{1.0, 100 * kMiB}}, kLink);
  EXPECT_EQ(caps.first_bytes, kMiB);
  EXPECT_EQ(caps.rest_bytes, 25 * kMiB);
  EXPECT_NEAR(caps.exposed_s, 50.1, 1e-9);
  EXPECT_THROW(choose_bucket_caps({}, kLink), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
