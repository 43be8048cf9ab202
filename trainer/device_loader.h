// DeviceLoader: a DataLoader's batches on the device that trains, copied there while the one before is
// computed.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sampler/data_loader.h"

namespace lockstep {

struct DeviceBatch {
  Batch host;
  at::Tensor data;  // on the device; on the CPU the host's own
  at::Tensor target;
};

// On a GPU copies run on a stream of their own, from pinned memory (DataLoaderOptions::pin_memory); the
// current stream waits for them, the host does not. One thread uses it; next() and prefetch() throw what
// DataLoader::next() throws.
class DeviceLoader {
 public:
  DeviceLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options, at::Device device);
  ~DeviceLoader();
  DeviceLoader(const DeviceLoader&) = delete;
  DeviceLoader& operator=(const DeviceLoader&) = delete;

  // As DataLoader::start_epoch(); a batch that was prefetched is dropped.
  void start_epoch(std::vector<std::int64_t> indices, std::int64_t first_batch = 0);
  // Begins to copy the batch that next() will return. To be called once the work on the last one is queued.
  // Waits for the workers, not for the copy; does nothing on the CPU.
  void prefetch();
  // The next batch of the epoch, or nothing at its end.
  std::optional<DeviceBatch> next();

 private:
  struct Copies;
  std::optional<DeviceBatch> load();

  DataLoader loader_;
  const at::Device device_;
  std::unique_ptr<Copies> copies_;                        // on a GPU
  std::optional<std::optional<DeviceBatch>> prefetched_;  // within: none at the epoch's end
};

}  // namespace lockstep
