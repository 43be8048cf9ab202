#include "tests/trainer/device_loader_cases.h"

#include <ATen/ops/zeros.h>

#include <cmath>

namespace lockstep {
namespace {

const at::Device kDevice(at::kCUDA, 0);

TEST(CudaDeviceLoader, ServesTheHostsBatchesOnAGpu) {
  testing::check_device_loader(kDevice);
}

// A batch that is dropped while the GPU still reads it keeps its memory until then.
TEST(CudaDeviceLoader, ABatchLivesAsLongAsTheGpuReadsIt) {
  const auto dataset =
      std::make_shared<SyntheticDataset>(1, Split::kTrain, 64, std::vector<std::int64_t>{3, 64, 64}, 10);
  DeviceLoader loader(dataset, {.batch_size = 8, .pin_memory = true}, kDevice);
  loader.start_epoch(testing::indices_from(0, 64));
  at::Tensor sum = at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(kDevice));
  double expected = 0.0;
  while (const auto batch = loader.next()) {
    expected += batch->host.data.to(at::kDouble).sum().item<double>();
    for (int repeat = 0; repeat < 20; ++repeat) static_cast<void>(batch->data.sin().sum());  // keeps it busy
    sum += batch->data.to(at::kDouble).sum();
    loader.prefetch();
  }
  EXPECT_NEAR(sum.item<double>(), expected, 1e-6 * std::abs(expected) + 1e-6);
}

}  // namespace
}  // namespace lockstep
