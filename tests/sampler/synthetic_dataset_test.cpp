#include "sampler/synthetic_dataset.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <stdexcept>

namespace lockstep {
namespace {

SyntheticDataset dataset(Split split = Split::kTrain, std::uint64_t seed = 3, std::int64_t samples = 1000) {
  return SyntheticDataset(seed, split, samples, {1, 28, 28}, 10);
}

std::vector<std::int64_t> first(std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), 0);
  return indices;
}

TEST(SyntheticDataset, HasTheShapeThatWasAskedFor) {
  const SyntheticDataset wide(1, Split::kTest, 5, {3, 6, 9}, 4);
  const Batch batch = wide.get_batch(first(5));
  EXPECT_EQ(batch.data.sizes(), (at::IntArrayRef{5, 3, 6, 9}));
  EXPECT_EQ(batch.target.sizes(), (at::IntArrayRef{5}));
  EXPECT_EQ(batch.data.scalar_type(), at::kFloat);
  EXPECT_EQ(batch.target.scalar_type(), at::kLong);
  EXPECT_EQ(wide.shape().sample_sizes, (std::vector<std::int64_t>{3, 6, 9}));
  EXPECT_EQ(wide.shape().num_classes, 4);
  EXPECT_EQ(wide.description(), "synthetic test (5 samples)");
  EXPECT_EQ(SyntheticDataset(1, Split::kTrain, 2, {7}, 2).get_batch(first(2)).data.sizes(),
            (at::IntArrayRef{2, 7}));
}

TEST(SyntheticDataset, DependsOnSeedSplitAndIndexAlone) {
  const Batch all = dataset().get_batch(first(20));
  const Batch some = dataset().get_batch(std::vector<std::int64_t>{17, 4});
  EXPECT_TRUE(at::equal(some.data[0], all.data[17]));
  EXPECT_TRUE(at::equal(some.data[1], all.data[4]));
  EXPECT_TRUE(at::equal(some.target[0], all.target[17]));
  EXPECT_FALSE(at::equal(all.data[0], all.data[1]));
  EXPECT_FALSE(at::equal(all.data, dataset(Split::kTest).get_batch(first(20)).data));
  EXPECT_FALSE(at::equal(all.data, dataset(Split::kTrain, 4).get_batch(first(20)).data));
  // The number of samples changes none of them.
  EXPECT_TRUE(at::equal(all.data, dataset(Split::kTrain, 3, 20).get_batch(first(20)).data));
}

TEST(SyntheticDataset, HasNoiseOfVarianceOneAroundTemplatesOfHalf) {
  const Batch batch = dataset().get_batch(first(1000));
  const float* data = batch.data.const_data_ptr<float>();
  const double n = 1000 * 784;
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < 1000 * 784; ++i) {
    sum += data[i];
    squares += double{data[i]} * data[i];
  }
  // E[x^2] = 0.25 + 1; the noise's share of the mean is below 5 standard errors, the template's is random.
  EXPECT_NEAR(squares / n, 1.25, 0.01);
  EXPECT_NEAR(sum / n, 0.0, 0.1);
  std::vector<int> counts(10);
  for (int i = 0; i < 1000; ++i)
    ++counts[static_cast<std::size_t>(batch.target.const_data_ptr<std::int64_t>()[i])];
  for (const int count : counts) EXPECT_NEAR(count, 100, 50);  // more than 5 standard deviations
}

TEST(SyntheticDataset, CanBeLearnedFromOneSplitForTheOther) {
  // Nearest class mean of the training split, applied to the test split.
  const Batch train = dataset().get_batch(first(1000));
  std::vector<std::vector<double>> means(10, std::vector<double>(784));
  std::vector<int> counts(10);
  for (int i = 0; i < 1000; ++i) {
    const auto label = static_cast<std::size_t>(train.target.const_data_ptr<std::int64_t>()[i]);
    ++counts[label];
    for (std::size_t j = 0; j < 784; ++j) means[label][j] += train.data.const_data_ptr<float>()[784 * i + j];
  }
  const Batch test = dataset(Split::kTest).get_batch(first(250));
  int right = 0;
  for (int i = 0; i < 250; ++i) {
    std::int64_t nearest = -1;
    double best = INFINITY;
    for (std::size_t label = 0; label < 10; ++label) {
      double distance = 0.0;
      for (std::size_t j = 0; j < 784; ++j) {
        const double difference =
            test.data.const_data_ptr<float>()[784 * i + j] - means[label][j] / counts[label];
        distance += difference * difference;
      }
      if (distance < best) {
        best = distance;
        nearest = static_cast<std::int64_t>(label);
      }
    }
    right += nearest == test.target.const_data_ptr<std::int64_t>()[i] ? 1 : 0;
  }
  EXPECT_GE(right, 245);
}

TEST(SyntheticDataset, RefusesWhatCannotBe) {
  const auto make = [](std::int64_t samples, std::vector<std::int64_t> sizes, std::int64_t classes) {
    SyntheticDataset(0, Split::kTrain, samples, std::move(sizes), classes);
  };
  EXPECT_THROW(make(0, {1, 2, 2}, 2), std::invalid_argument);
  EXPECT_THROW(make(-5, {1, 2, 2}, 2), std::invalid_argument);
  EXPECT_THROW(make(1, {1, 2, 2}, 0), std::invalid_argument);
  EXPECT_THROW(make(1, {1, 0, 2}, 2), std::invalid_argument);
  EXPECT_THROW(make(1, {1, -2, 2}, 2), std::invalid_argument);
  EXPECT_THROW(make(1, {std::int64_t{1} << 62, 4, 1}, 2), std::invalid_argument);
  EXPECT_THROW(dataset().get_batch(std::vector<std::int64_t>{1000}), std::out_of_range);
  EXPECT_THROW(dataset().get_batch(std::vector<std::int64_t>{-1}), std::out_of_range);
}

}  // namespace
}  // namespace lockstep
