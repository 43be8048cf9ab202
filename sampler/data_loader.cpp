// Workers claim batches in order and put them into a ring with one slot for each batch that may be ahead;
// next() takes them out in order. Everything that is shared is guarded by one mutex; no batch is made while
// it is held.
#include "sampler/data_loader.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace lockstep {
namespace {

// A batch, or why there is none.
struct Outcome {
  Batch batch;
  std::exception_ptr error;
};

using Indices = std::shared_ptr<const std::vector<std::int64_t>>;

// Copies by hand: ATen's copy would start a team of OpenMP threads in each worker.
at::Tensor pinned_copy(const at::Tensor& tensor) {
  const at::Tensor source = tensor.contiguous();
  at::Tensor copy = at::empty(source.sizes(), source.options().pinned_memory(true));
  std::memcpy(copy.mutable_data_ptr(), source.const_data_ptr(), source.nbytes());
  return copy;
}

}  // namespace

struct DataLoader::State {
  State(std::shared_ptr<const Dataset> dataset_in, DataLoaderOptions options_in)
      : dataset(std::move(dataset_in)), options(options_in) {
    if (dataset == nullptr) throw std::invalid_argument("DataLoader: there is no data set");
    if (options.batch_size < 1 || options.num_workers < 0 || options.prefetch_factor < 1) {
      throw std::invalid_argument("DataLoader: batch_size " + std::to_string(options.batch_size) +
                                  ", num_workers " + std::to_string(options.num_workers) +
                                  ", prefetch_factor " + std::to_string(options.prefetch_factor) +
                                  "; they must be at least 1, 0 and 1");
    }
    if (options.pin_memory && !at::hasCUDA()) {
      throw std::invalid_argument("DataLoader: pin_memory needs a GPU, and there is none");
    }
    // A thread begins on the first GPU; with memory of another one that would cost a context there.
    if (options.pin_memory) device = c10::impl::VirtualGuardImpl(at::kCUDA).getDevice();
    ring.resize(static_cast<std::size_t>(options.num_workers) *
                static_cast<std::size_t>(options.prefetch_factor));
  }

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    work_is_there.notify_all();
    for (std::thread& worker : workers) worker.join();
  }

  Outcome prepare(const std::vector<std::int64_t>& epoch, std::int64_t batch_number) const noexcept {
    Outcome outcome;
    try {
      const auto first = static_cast<std::size_t>(batch_number * options.batch_size);
      const auto count = std::min(epoch.size() - first, static_cast<std::size_t>(options.batch_size));
      outcome.batch = dataset->get_batch(std::span(epoch).subspan(first, count));
      if (device) {
        c10::impl::VirtualGuardImpl(at::kCUDA).setDevice(*device);
        outcome.batch.data = pinned_copy(outcome.batch.data);
        outcome.batch.target = pinned_copy(outcome.batch.target);
      }
    } catch (...) {
      outcome.error = std::current_exception();
    }
    return outcome;
  }

  std::optional<Outcome>& slot(std::int64_t batch_number) {
    return ring[static_cast<std::size_t>(batch_number) % ring.size()];
  }

  bool may_claim() const {
    return next_to_claim < num_batches &&
           next_to_claim < next_to_serve + static_cast<std::int64_t>(ring.size());
  }

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      work_is_there.wait(lock, [this] { return stopping || may_claim(); });
      if (stopping) return;
      const std::int64_t batch_number = next_to_claim++;
      const std::uint64_t claimed_in = generation;
      const Indices epoch = indices;
      lock.unlock();
      Outcome outcome = prepare(*epoch, batch_number);
      lock.lock();
      if (generation != claimed_in) continue;  // the epoch was dropped meanwhile
      slot(batch_number) = std::move(outcome);
      batch_is_ready.notify_one();
    }
  }

  // Constant, or used by the caller's thread only.
  const std::shared_ptr<const Dataset> dataset;
  const DataLoaderOptions options;
  std::optional<at::Device> device;  // the caller's, where batches are put into pinned memory

  std::mutex mutex;
  std::condition_variable work_is_there;
  std::condition_variable batch_is_ready;
  Indices indices = std::make_shared<std::vector<std::int64_t>>();
  std::uint64_t generation = 0;  // counts the epochs started
  std::int64_t num_batches = 0;
  std::int64_t next_to_claim = 0;
  std::int64_t next_to_serve = 0;
  std::vector<std::optional<Outcome>> ring;
  bool stopping = false;
  std::vector<std::thread> workers;
};

DataLoader::DataLoader(std::shared_ptr<const Dataset> dataset, DataLoaderOptions options)
    : state_(std::make_unique<State>(std::move(dataset), options)) {
  for (int i = 0; i < options.num_workers; ++i) {
    state_->workers.emplace_back([state = state_.get()] { state->work(); });
  }
}

DataLoader::~DataLoader() = default;

void DataLoader::start_epoch(std::vector<std::int64_t> indices, std::int64_t first_batch) {
  State& state = *state_;
  const auto count = static_cast<std::int64_t>(indices.size());
  const std::int64_t num_batches = count / state.options.batch_size + (count % state.options.batch_size != 0);
  if (first_batch < 0 || first_batch > num_batches) {
    throw std::invalid_argument("DataLoader: an epoch of " + std::to_string(num_batches) +
                                " batches cannot start at batch " + std::to_string(first_batch));
  }
  {
    const std::lock_guard lock(state.mutex);
    state.indices = std::make_shared<const std::vector<std::int64_t>>(std::move(indices));
    ++state.generation;
    state.num_batches = num_batches;
    state.next_to_claim = first_batch;
    state.next_to_serve = first_batch;
    for (auto& slot : state.ring) slot.reset();
  }
  state.work_is_there.notify_all();
}

std::optional<Batch> DataLoader::next() {
  State& state = *state_;
  Outcome outcome;
  {
    std::unique_lock lock(state.mutex);
    if (state.next_to_serve >= state.num_batches) return std::nullopt;
    const std::int64_t batch_number = state.next_to_serve;
    if (state.ring.empty()) {
      outcome = state.prepare(*state.indices, batch_number);
    } else {
      std::optional<Outcome>& slot = state.slot(batch_number);
      state.batch_is_ready.wait(lock, [&slot] { return slot.has_value(); });
      outcome = std::move(*slot);
      slot.reset();
    }
    ++state.next_to_serve;
  }
  state.work_is_there.notify_one();
  if (outcome.error) std::rethrow_exception(outcome.error);
  return std::move(outcome.batch);
}

std::int64_t DataLoader::batches_per_epoch() const {
  const std::lock_guard lock(state_->mutex);
  return state_->num_batches;
}

}  // namespace lockstep
