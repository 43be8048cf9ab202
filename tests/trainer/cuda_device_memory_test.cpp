#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>
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
  bytes_on_the_gpu(kBytes);
  const PeakDeviceMemory peak = peak_device_memory(kDevice, *alone);
  EXPECT_GE(peak.allocated_bytes, allocated_device_bytes(kDevice) + kBytes);
  EXPECT_GE(peak.reserved_bytes, peak.allocated_bytes);
}

TEST(CudaDeviceMemory, AFailedAllocationIsToldOnce) {
  record_failed_allocations();
  const at::Tensor kept = bytes_on_the_gpu(kBytes);
  EXPECT_THROW(bytes_on_the_gpu(std::int64_t{1} << 50), c10::OutOfMemoryError);
  const auto failed = take_failed_allocation();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->asked_for, static_cast<double>(std::int64_t{1} << 50));
  EXPECT_EQ(failed->allocated, allocated_device_bytes(kDevice));
  EXPECT_GE(failed->allocated, kBytes);
  EXPECT_GE(failed->reserved, failed->allocated);
  EXPECT_GE(failed->peak_allocated, failed->allocated);
  EXPECT_GE(failed->device_total, failed->reserved + failed->device_free);
  EXPECT_FALSE(take_failed_allocation());
}

}  // namespace
}  // namespace lockstep
