#include "sampler/data_loader.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <thread>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;

// Sample i is i. What else happens in get_batch is up to `hook`, which gets the batch's first index.
class NumberDataset : public Dataset {
 public:
  explicit NumberDataset(std::function<void(std::int64_t)> hook = [](std::int64_t) {})
      : hook_(std::move(hook)) {}
  std::int64_t size() const override { return 1000000; }
  DatasetShape shape() const override { return {{1}, 2}; }
  Batch get_batch(std::span<const std::int64_t> indices) const override {
    hook_(indices[0]);
    const auto count = static_cast<std::int64_t>(indices.size());
    Batch batch{.data = at::empty({count, 1}, at::TensorOptions().dtype(at::kFloat)),
                .target = at::empty({count}, at::TensorOptions().dtype(at::kLong))};
    for (std::int64_t i = 0; i < count; ++i) {
      batch.data.mutable_data_ptr<float>()[i] = static_cast<float>(indices[static_cast<std::size_t>(i)]);
      batch.target.mutable_data_ptr<std::int64_t>()[i] = indices[static_cast<std::size_t>(i)];
    }
    return batch;
  }
  std::string description() const override { return "numbers"; }

 private:
  std::function<void(std::int64_t)> hook_;
};

std::vector<std::int64_t> numbers(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return values;
}

std::vector<std::int64_t> values_of(const Batch& batch) {
  const std::int64_t* target = batch.target.const_data_ptr<std::int64_t>();
  return {target, target + batch.target.numel()};
}

std::vector<std::vector<std::int64_t>> rest_of(DataLoader& loader) {
  std::vector<std::vector<std::int64_t>> batches;
  while (const auto batch = loader.next()) batches.push_back(values_of(*batch));
  return batches;
}

TEST(DataLoader, ServesBatchesInOrderWhateverTheWorkers) {
  // Batches take differently long, so that workers overtake each other.
  const auto dataset = std::make_shared<NumberDataset>(
      [](std::int64_t first) { std::this_thread::sleep_for(std::chrono::microseconds(first * 7919 % 300)); });
  std::vector<std::int64_t> indices = numbers(0, 101);
  std::reverse(indices.begin(), indices.end());
  for (const int workers : {0, 1, 2, 5}) {
    for (const int prefetch : {1, 2, 4}) {
      DataLoader loader(dataset, {.batch_size = 4, .num_workers = workers, .prefetch_factor = prefetch});
      for (int epoch = 0; epoch < 3; ++epoch) {
        loader.start_epoch(indices);
        EXPECT_EQ(loader.batches_per_epoch(), 26);
        const auto batches = rest_of(loader);
        ASSERT_EQ(batches.size(), 26u);
        std::vector<std::int64_t> seen;
        for (const auto& batch : batches) seen.insert(seen.end(), batch.begin(), batch.end());
        EXPECT_EQ(seen, indices);
        EXPECT_EQ(batches.front().size(), 4u);
        EXPECT_EQ(batches.back().size(), 1u);
        EXPECT_FALSE(loader.next().has_value());  // and stays at the end
      }
    }
  }
}

TEST(DataLoader, StartsInMidEpoch) {
  for (const int workers : {0, 2}) {
    DataLoader loader(std::make_shared<NumberDataset>(), {.batch_size = 3, .num_workers = workers});
    loader.start_epoch(numbers(100, 10), 2);
    EXPECT_EQ(loader.batches_per_epoch(), 4);
    EXPECT_EQ(rest_of(loader), (std::vector<std::vector<std::int64_t>>{{106, 107, 108}, {109}}));
    loader.start_epoch(numbers(100, 10), 4);
    EXPECT_FALSE(loader.next().has_value());
    EXPECT_THROW(loader.start_epoch(numbers(100, 10), 5), std::invalid_argument);
    EXPECT_THROW(loader.start_epoch(numbers(100, 10), -1), std::invalid_argument);
  }
}

TEST(DataLoader, ServesNothingWithoutAnEpochOrWithoutIndices) {
  for (const int workers : {0, 2}) {
    DataLoader loader(std::make_shared<NumberDataset>(), {.num_workers = workers});
    EXPECT_EQ(loader.batches_per_epoch(), 0);
    EXPECT_FALSE(loader.next().has_value());
    loader.start_epoch({});
    EXPECT_FALSE(loader.next().has_value());
  }
}

TEST(DataLoader, DropsWhatWasPreparedOfAnEarlierEpoch) {
  const auto dataset =
      std::make_shared<NumberDataset>([](std::int64_t) { std::this_thread::sleep_for(200us); });
  DataLoader loader(dataset, {.batch_size = 2, .num_workers = 3, .prefetch_factor = 2});
  for (int round = 0; round < 50; ++round) {
    loader.start_epoch(numbers(1000 * round, 40));
    for (int i = 0; i < round % 7; ++i) {
      EXPECT_EQ(values_of(loader.next().value()), numbers(1000 * round + 2 * i, 2));
    }
  }
}

TEST(DataLoader, RethrowsAWorkersExceptionInItsPlace) {
  const auto dataset = std::make_shared<NumberDataset>([](std::int64_t first) {
    if (first == 6) throw DataError("sample 6 is bad");
    std::this_thread::sleep_for(1ms);  // so that the exception is there long before its turn
  });
  for (const int workers : {0, 1, 4}) {
    DataLoader loader(dataset, {.batch_size = 2, .num_workers = workers});
    loader.start_epoch(numbers(0, 10));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(values_of(loader.next().value()), numbers(2 * i, 2));
    EXPECT_THROW(loader.next(), DataError);
    EXPECT_EQ(values_of(loader.next().value()), numbers(8, 2));
    EXPECT_FALSE(loader.next().has_value());
    loader.start_epoch(numbers(20, 2));
    EXPECT_EQ(values_of(loader.next().value()), numbers(20, 2));
  }
}

TEST(DataLoader, PreparesAheadButNotWithoutBound) {
  std::mutex mutex;
  std::condition_variable changed;
  int made = 0;
  const auto dataset = std::make_shared<NumberDataset>([&](std::int64_t) {
    const std::lock_guard lock(mutex);
    ++made;
    changed.notify_all();
  });
  const auto wait_for = [&](int count) {
    std::unique_lock lock(mutex);
    EXPECT_TRUE(changed.wait_for(lock, 30s, [&] { return made >= count; }));
  };
  DataLoader loader(dataset, {.batch_size = 1, .num_workers = 2, .prefetch_factor = 3});
  loader.start_epoch(numbers(0, 100));
  wait_for(6);
  std::this_thread::sleep_for(30ms);  // time for a seventh, were there one
  EXPECT_EQ((std::lock_guard(mutex), made), 6);
  loader.next();
  wait_for(7);
  std::this_thread::sleep_for(30ms);
  EXPECT_EQ((std::lock_guard(mutex), made), 7);
}

TEST(DataLoader, UsesItsWorkersAtTheSameTime) {
  // The first three batches each wait until all three are being made.
  std::mutex mutex;
  std::condition_variable changed;
  int inside = 0;
  const auto dataset = std::make_shared<NumberDataset>([&](std::int64_t first) {
    if (first >= 3) return;
    std::unique_lock lock(mutex);
    ++inside;
    changed.notify_all();
    if (!changed.wait_for(lock, 30s, [&] { return inside >= 3; })) throw std::runtime_error("alone");
  });
  DataLoader loader(dataset, {.batch_size = 1, .num_workers = 3, .prefetch_factor = 1});
  loader.start_epoch(numbers(0, 6));
  EXPECT_EQ(rest_of(loader).size(), 6u);
}

TEST(DataLoader, IsDestroyedWithWorkOutstanding) {
  std::atomic<int> made = 0;
  const auto dataset = std::make_shared<NumberDataset>([&](std::int64_t) {
    ++made;
    std::this_thread::sleep_for(2ms);
  });
  for (int round = 0; round < 10; ++round) {
    DataLoader loader(dataset, {.batch_size = 1, .num_workers = 4, .prefetch_factor = 8});
    loader.start_epoch(numbers(0, 100000));
    if (round % 2 == 1) loader.next();
  }
  EXPECT_LT(made, 1000);  // the epoch was not finished first
}

TEST(DataLoader, PinsItsBatchesWhereThereIsAGpuAndRefusesElsewhere) {
  const DataLoaderOptions options{.batch_size = 2, .num_workers = 1, .pin_memory = true};
  if (at::hasCUDA()) {
    DataLoader loader(std::make_shared<NumberDataset>(), options);
    loader.start_epoch(numbers(0, 3));
    const Batch batch = loader.next().value();
    EXPECT_TRUE(batch.data.is_pinned() && batch.target.is_pinned());
    EXPECT_EQ(values_of(batch), numbers(0, 2));
  } else {
    EXPECT_THROW(DataLoader(std::make_shared<NumberDataset>(), options), std::invalid_argument);
  }
}

TEST(DataLoader, RefusesOptionsThatCannotBe) {
  const auto make = [](DataLoaderOptions options) { DataLoader(std::make_shared<NumberDataset>(), options); };
  EXPECT_THROW(make({.batch_size = 0}), std::invalid_argument);
  EXPECT_THROW(make({.batch_size = -3}), std::invalid_argument);
  EXPECT_THROW(make({.num_workers = -1}), std::invalid_argument);
  EXPECT_THROW(make({.prefetch_factor = 0}), std::invalid_argument);
  EXPECT_THROW(DataLoader(nullptr, {}), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
