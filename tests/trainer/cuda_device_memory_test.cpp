#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <chrono>

#include "comm/thread_communicator.h"
#include "trainer/device_memory.h"

namespace lockstep {
namespace {

const at::Device kDevice(at::kCUDA, 0);
constexpr std::int64_t kBytes = 64 << 20;

at::Tensor bytes_on_the_gpu(std::int64_t bytes) {
  return at::empty({bytes}, at::TensorOptions().dtype(at::kByte).device(kDevice));
}

TEST(CudaDeviceMemory, APeakStaysWhenItsTensorIsGone) {
  const CommunicatorPtr alone = make_thread_communicators(1, std::chrono::seconds(1)).front();
  const at::Tensor something = bytes_on_the_gpu(1);
  const PeakDeviceMemory before = peak_device_memory(kDevice, *alone);
  bytes_on_the_gpu(kBytes);
  const PeakDeviceMemory after = peak_device_memory(kDevice, *alone);
  EXPECT_EQ(after.allocated_bytes, before.allocated_bytes + kBytes);
  EXPECT_GE(after.reserved_bytes, after.allocated_bytes);
}

}  // namespace
}  // namespace lockstep
