// DataLoader: batches prepared ahead of the training loop by worker threads.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "sampler/dataset.h"

namespace lockstep {

struct DataLoaderOptions {
  std::int64_t batch_size = 64;
  int num_workers = 1;      // threads; 0 prepares each batch in next()
  int prefetch_factor = 2;  // batches prepared ahead per worker
  bool pin_memory = false;  // for faster copies to a GPU; needs one
};

// Serves the samples of an epoch in order, whatever the number of workers. An exception in a worker is
// rethrown by the next() that would have returned its batch. next() is called from one thread; the destructor
// joins the workers.
class DataLoader {
 public:
  // Throws std::invalid_argument if batch_size < 1, num_workers < 0 or prefetch_factor < 1.
  DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options);
  ~DataLoader();
  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  // Starts on `indices`, skipping the first `first_batch` batches (a resume in mid-epoch); drops what was
  // prepared of an earlier epoch.
  void start_epoch(std::vector<std::int64_t> indices, std::int64_t first_batch = 0);
  // The next batch of the epoch, the last one possibly shorter, or nothing at its end.
  std::optional<Batch> next();
  // Batches in the epoch started last: ceil(indices / batch_size).
  std::int64_t batches_per_epoch() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lockstep
