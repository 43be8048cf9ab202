#include "comm/bucket.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "comm/thread_communicator.h"

namespace lockstep {
namespace {

std::vector<at::Tensor> floats(std::initializer_list<std::int64_t> sizes) {
  std::vector<at::Tensor> tensors;
  for (const std::int64_t size : sizes) tensors.push_back(at::zeros({size}));
  return tensors;
}

TEST(AssignBucketsTest, ClosesABucketOnceItHoldsItsCap) {
  // 40 bytes each; first cap 50, then 100.
  const auto parameters = floats({10, 10, 10, 10, 10, 10});
  const BucketAssignment expected = {{0, 1}, {2, 3, 4}, {5}};
  EXPECT_EQ(assign_buckets(parameters, {0, 1, 2, 3, 4, 5}, {50, 100}), expected);
}

TEST(AssignBucketsTest, FollowsTheGivenOrder) {
  const BucketAssignment expected = {{2, 0}, {1}};
  EXPECT_EQ(assign_buckets(floats({10, 10, 10}), {2, 0, 1}, {80}), expected);
}

TEST(AssignBucketsTest, NeverSplitsAParameter) {
  const BucketAssignment expected = {{0}, {1}, {2}};
  EXPECT_EQ(assign_buckets(floats({1000, 1000, 1}), {0, 1, 2}, {4}), expected);
}

TEST(AssignBucketsTest, KeepsDtypesApart) {
  std::vector<at::Tensor> parameters = floats({10, 10, 10});
  parameters[1] = at::zeros({10}, at::kDouble);
  const BucketAssignment expected = {{0, 2}, {1}};
  EXPECT_EQ(assign_buckets(parameters, {0, 1, 2}, {kUnlimitedBucketBytes}), expected);
}

TEST(AssignBucketsTest, RefusesACapOfZero) {
  EXPECT_THROW(assign_buckets(floats({1}), {0}, {0}), std::invalid_argument);
  EXPECT_THROW(assign_buckets(floats({1}), {0}, {}), std::invalid_argument);
}

TEST(BucketTest, ViewsLieInOneFlatTensor) {
  const std::vector<at::Tensor> parameters = {at::zeros({2, 3}), at::zeros({4}), at::zeros({})};
  const Bucket bucket(parameters, {2, 0}, *make_thread_communicators(1, std::chrono::seconds(20)).front());
  EXPECT_EQ(bucket.flat().numel(), 7);
  EXPECT_EQ(bucket.view(1).sizes(), parameters[0].sizes());
  bucket.flat().copy_(at::arange(7, at::kFloat));
  EXPECT_EQ(bucket.view(0).item<float>(), 0.0F);
  EXPECT_EQ(bucket.view(1)[1][2].item<float>(), 6.0F);
}

// Channels-last weights get channels-last gradients, as PyTorch's reducer gives them, without a copy.
TEST(BucketTest, ViewsAreLaidOutLikeTheirParameters) {
  const at::Tensor weight =
      at::arange(2 * 3 * 2 * 2, at::kFloat).view({2, 3, 2, 2}).contiguous(at::MemoryFormat::ChannelsLast);
  const std::vector<at::Tensor> parameters = {at::zeros({5}), weight, at::zeros({4, 2}).slice(1, 0, 1)};
  const Bucket bucket(parameters, {0, 1, 2}, *make_thread_communicators(1, std::chrono::seconds(20)).front());
  EXPECT_EQ(bucket.view(1).strides(), weight.strides());
  EXPECT_TRUE(bucket.view(2).is_contiguous());  // gaps in memory are not imitated
  EXPECT_EQ(bucket.view(2).sizes(), parameters[2].sizes());
  at::Tensor(bucket.view(1)).copy_(weight);
  // Sample by sample, channels next to each other: 0, 4, 8, 1, 5, 9, ...
  const auto in_memory = bucket.flat().narrow(0, 5, 24);
  EXPECT_EQ(in_memory[1].item<float>(), 4.0F);
  EXPECT_EQ(in_memory[3].item<float>(), 1.0F);
  EXPECT_EQ(bucket.flat()[29].item<float>(), 0.0F);  // the next one's first
}

}  // namespace
}  // namespace lockstep
