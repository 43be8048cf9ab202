#include "trainer/device_loader.h"

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <utility>

namespace lockstep {

struct DeviceLoader::Copies {
  explicit Copies(at::Device device)
      : stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}

  c10::cuda::CUDAStream stream;
  at::cuda::CUDAEvent done;
};

DeviceLoader::DeviceLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options,
                           at::Device device)
    : loader_(std::move(dataset), options), device_(device) {
  if (device_.is_cuda()) copies_ = std::make_unique<Copies>(device_);
}

DeviceLoader::~DeviceLoader() = default;

void DeviceLoader::start_epoch(std::vector<std::int64_t> indices, std::int64_t first_batch) {
  prefetched_.reset();
  loader_.start_epoch(std::move(indices), first_batch);
}

std::optional<DeviceBatch> DeviceLoader::load() {
  std::optional<Batch> batch = loader_.next();
  if (!batch) return std::nullopt;
  DeviceBatch loaded{.host = *std::move(batch), .data = {}, .target = {}};
  if (!copies_) {
    loaded.data = loaded.host.data;
    loaded.target = loaded.host.target;
    return loaded;
  }
  // The copies' memory belongs to their stream, on which it may have been used last; pinned memory is kept
  // until they are done.
  const c10::cuda::CUDAStreamGuard guard(copies_->stream);
  loaded.data = loaded.host.data.to(device_, /*non_blocking=*/true);
  loaded.target = loaded.host.target.to(device_, /*non_blocking=*/true);
  copies_->done.record(copies_->stream);
  return loaded;
}

void DeviceLoader::prefetch() {
  if (copies_ && !prefetched_) prefetched_ = load();
}

std::optional<DeviceBatch> DeviceLoader::next() {
  std::optional<DeviceBatch> batch = prefetched_ ? *std::exchange(prefetched_, std::nullopt) : load();
  if (batch && copies_) {
    const c10::cuda::CUDAStream current = c10::cuda::getCurrentCUDAStream(device_.index());
    copies_->done.block(current);
    for (const at::Tensor& tensor : {batch->data, batch->target})
      c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), current);
  }
  return batch;
}

}  // namespace lockstep
