// What a DeviceLoader must do on the CPU and on a GPU alike.
#pragma once

#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "sampler/synthetic_dataset.h"
#include "trainer/device_loader.h"

namespace lockstep::testing {

inline std::vector<std::int64_t> indices_from(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  return indices;
}

// Batches of 4 of the samples from `first` on, 10 of them, the first `skipped` batches left out.
inline void check_epoch(DeviceLoader& loader, const Dataset& dataset, std::int64_t first,
                        std::int64_t skipped, at::Device device) {
  for (std::int64_t begin = 4 * skipped; begin < 10; begin += 4) {
    const auto batch = loader.next();
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->data.device(), device);
    const Batch expected =
        dataset.get_batch(indices_from(first + begin, std::min<std::int64_t>(4, 10 - begin)));
    EXPECT_TRUE(at::equal(batch->data.cpu(), expected.data));
    EXPECT_TRUE(at::equal(batch->target.cpu(), expected.target));
    EXPECT_TRUE(at::equal(batch->host.data, expected.data));
    loader.prefetch();
    loader.prefetch();  // a second time changes nothing
  }
  EXPECT_FALSE(loader.next().has_value());
}

inline void check_device_loader(at::Device device) {
  const auto dataset =
      std::make_shared<SyntheticDataset>(1, Split::kTrain, 100, std::vector<std::int64_t>{3, 8, 8}, 10);
  DeviceLoader loader(dataset, {.batch_size = 4, .pin_memory = device.is_cuda()}, device);
  loader.start_epoch(indices_from(0, 10));
  check_epoch(loader, *dataset, 0, 0, device);
  loader.start_epoch(indices_from(50, 10));
  ASSERT_TRUE(loader.next().has_value());
  loader.prefetch();
  loader.start_epoch(indices_from(20, 10), /*first_batch=*/1);  // drops what was prefetched
  check_epoch(loader, *dataset, 20, 1, device);
}

}  // namespace lockstep::testing
