// Reviewed call by call against nccl.h 2.28; docs/gpu.md has the table. The communicator is non-blocking
// (config.blocking = 0): every NCCL call may answer ncclInProgress and is polled to its end with
// ncclCommGetAsyncError before an event is recorded, since otherwise the event would precede the kernel.
#include "comm/nccl_communicator.h"

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <ATen/ops/empty.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>

#include "comm/errors.h"
#include "comm/reduction.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPollInterval = std::chrono::microseconds(50);
constexpr auto kWatchInterval = std::chrono::milliseconds(100);

ncclDataType_t to_nccl(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return ncclFloat32;
    case at::kDouble:
      return ncclFloat64;
    case at::kHalf:
      return ncclFloat16;
    case at::kBFloat16:
      return ncclBfloat16;
    case at::kInt:
      return ncclInt32;
    case at::kLong:
      return ncclInt64;
    case at::kByte:
      return ncclUint8;
    default:
      throw std::invalid_argument("NCCL cannot take this dtype");
  }
}

ncclRedOp_t to_nccl(ReduceOp op) {
  switch (op) {
    case ReduceOp::kSum:
      return ncclSum;
    case ReduceOp::kMax:
      return ncclMax;
    case ReduceOp::kMin:
      return ncclMin;
  }
  throw std::logic_error("unknown ReduceOp");
}

// What the training thread and the watchdog share about one collective.
struct Flight {
  std::string collective;
  Clock::time_point started;
  at::cuda::CUDAEvent done;
};

class NcclCommunicator;

class NcclWork final : public Work {
 public:
  NcclWork(std::shared_ptr<Flight> flight, NcclCommunicator& communicator)
      : flight_(std::move(flight)), communicator_(communicator) {}
  void wait() override;
  bool is_completed() const override {
    try {
      return flight_->done.query();
    } catch (const std::exception&) {
      return true;  // the device failed, and with it the collective; wait() tells
    }
  }

 private:
  std::shared_ptr<Flight> flight_;
  NcclCommunicator& communicator_;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(CommunicatorPtr host, at::Device device, std::chrono::milliseconds timeout)
      : host_(std::move(host)),
        device_(device),
        timeout_(timeout),
        stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {
    const c10::cuda::CUDAGuard guard(device_);
    ncclUniqueId id{};
    if (host_->rank() == 0) check(ncclGetUniqueId(&id), "ncclGetUniqueId");
    at::Tensor bytes =
        at::empty({static_cast<std::int64_t>(sizeof id)}, at::TensorOptions().dtype(at::kByte));
    std::memcpy(bytes.data_ptr(), &id, sizeof id);
    host_->broadcast(bytes, 0)->wait();
    std::memcpy(&id, bytes.data_ptr(), sizeof id);

    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    const std::scoped_lock lock(mutex_);
    const ncclResult_t started =
        ncclCommInitRankConfig(&comm_, host_->world_size(), id, host_->rank(), &config);
    if (started != ncclSuccess && started != ncclInProgress) check(started, "ncclCommInitRankConfig");
    poll_until_done("ncclCommInitRankConfig");
    watchdog_ = std::thread([this] { watch(); });
  }

  // Does not communicate: without shutdown() the communicator is aborted, which is local.
  ~NcclCommunicator() override {
    stop_watchdog();
    const std::scoped_lock lock(mutex_);
    abort_locked("the communicator was destroyed");
  }

  int rank() const override { return host_->rank(); }
  int world_size() const override { return host_->world_size(); }
  std::string backend() const override { return "nccl"; }
  ReductionOrder reduction_order() const override { return ReductionOrder::kFast; }

  WorkPtr all_reduce(at::Tensor tensor, ReduceOp op) override {
    if (!tensor.defined() || !tensor.is_cuda()) return host_->all_reduce(std::move(tensor), op);
    check_collective_tensor(tensor, "all_reduce");
    count_bytes(2 * tensor.nbytes() * peers() / static_cast<std::size_t>(world_size()));
    return launch("all_reduce", tensor, {tensor}, [&](cudaStream_t stream) {
      return ncclAllReduce(tensor.data_ptr(), tensor.data_ptr(), static_cast<std::size_t>(tensor.numel()),
                           to_nccl(tensor.scalar_type()), to_nccl(op), comm_, stream);
    });
  }

  WorkPtr reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) override {
    if (!output.defined() || !output.is_cuda())
      return host_->reduce_scatter(std::move(output), std::move(input), op);
    check_collective_blocks(output, input, world_size(), "reduce_scatter");
    count_bytes(output.nbytes() * peers());
    return launch("reduce_scatter", input, {output, input}, [&](cudaStream_t stream) {
      return ncclReduceScatter(input.data_ptr(), output.data_ptr(), static_cast<std::size_t>(output.numel()),
                               to_nccl(output.scalar_type()), to_nccl(op), comm_, stream);
    });
  }

  WorkPtr all_gather(at::Tensor output, at::Tensor input) override {
    if (!output.defined() || !output.is_cuda()) return host_->all_gather(std::move(output), std::move(input));
    check_collective_blocks(input, output, world_size(), "all_gather");
    count_bytes(input.nbytes() * peers());
    return launch("all_gather", output, {output, input}, [&](cudaStream_t stream) {
      return ncclAllGather(input.data_ptr(), output.data_ptr(), static_cast<std::size_t>(input.numel()),
                           to_nccl(input.scalar_type()), comm_, stream);
    });
  }

  WorkPtr broadcast(at::Tensor tensor, int root) override {
    if (!tensor.defined() || !tensor.is_cuda()) return host_->broadcast(std::move(tensor), root);
    check_collective_tensor(tensor, "broadcast");
    if (root < 0 || root >= world_size())
      throw std::invalid_argument("broadcast from a rank that does not exist");
    if (rank() == root) count_bytes(tensor.nbytes());
    return launch("broadcast", tensor, {tensor}, [&](cudaStream_t stream) {
      return ncclBroadcast(tensor.data_ptr(), tensor.data_ptr(), static_cast<std::size_t>(tensor.numel()),
                           to_nccl(tensor.scalar_type()), root, comm_, stream);
    });
  }

  WorkPtr send_receive(at::Tensor output, at::Tensor input) override {
    if (!input.defined() || !input.is_cuda()) return host_->send_receive(std::move(output), std::move(input));
    check_send_receive(output, input);
    count_bytes(world_size() == 1 ? 0 : input.nbytes());
    return launch("send_receive", input, {output, input}, [&](cudaStream_t stream) {
      const auto count = static_cast<std::size_t>(input.numel());
      const ncclDataType_t type = to_nccl(input.scalar_type());
      // One group, since each half waits for the other's peer.
      const ncclResult_t results[] = {
          ncclGroupStart(),
          ncclSend(input.data_ptr(), count, type, (rank() + world_size() - 1) % world_size(), comm_, stream),
          ncclRecv(output.data_ptr(), count, type, (rank() + 1) % world_size(), comm_, stream),
          ncclGroupEnd()};
      for (const ncclResult_t result : results) {
        if (result != ncclSuccess && result != ncclInProgress) return result;
      }
      return ncclSuccess;
    });
  }

  void barrier() override {
    stream_.synchronize();
    throw_if_failed();
    host_->barrier();
  }

  std::int64_t bytes_sent() const override {
    return bytes_sent_.load(std::memory_order_relaxed) + host_->bytes_sent();
  }

  void shutdown() override {
    barrier();
    stop_watchdog();
    {
      const std::scoped_lock lock(mutex_);
      if (comm_ != nullptr) {
        const ncclResult_t result = ncclCommFinalize(comm_);
        if (result != ncclSuccess && result != ncclInProgress) check(result, "ncclCommFinalize");
        poll_until_done("ncclCommFinalize");
        check(ncclCommDestroy(comm_), "ncclCommDestroy");
        comm_ = nullptr;
      }
    }
    host_->shutdown();
  }

  void abort(const std::string& reason) noexcept override {
    {
      const std::scoped_lock lock(mutex_);
      abort_locked(reason);
    }
    host_->abort(reason);
  }

  void throw_if_failed() {
    const std::scoped_lock lock(mutex_);
    throw_if_failed_locked();
  }

 private:
  std::size_t peers() const { return static_cast<std::size_t>(world_size() - 1); }
  void count_bytes(std::size_t bytes) { bytes_sent_ += static_cast<std::int64_t>(bytes); }

  // Queues one collective behind what the current stream has queued. `tensors` are told to the allocator, so
  // that their memory is not handed out again before our stream is done with it.
  template <typename Start>
  WorkPtr launch(const char* name, const at::Tensor& described, std::initializer_list<at::Tensor> tensors,
                 Start start) {
    const c10::cuda::CUDAGuard guard(device_);
    const std::scoped_lock lock(mutex_);
    throw_if_failed_locked();
    auto flight = std::make_shared<Flight>();
    flight->collective = describe_collective(name, sequence_++, described.scalar_type(), described.numel());
    flight->started = Clock::now();
    at::cuda::CUDAEvent ready;
    ready.record(c10::cuda::getCurrentCUDAStream(device_.index()));
    ready.block(stream_);
    const ncclResult_t result = start(stream_.stream());
    if (result != ncclSuccess && result != ncclInProgress) check(result, flight->collective);
    poll_until_done(flight->collective);
    flight->done.record(stream_);
    for (const at::Tensor& tensor : tensors) {
      c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), stream_);
    }
    flights_.push_back(flight);
    return std::make_shared<NcclWork>(std::move(flight), *this);
  }

  // Must be called with mutex_ held.
  void poll_until_done(const std::string& what) {
    const auto deadline = Clock::now() + timeout_;
    while (true) {
      ncclResult_t state = ncclSuccess;
      check(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
      if (state == ncclSuccess) return;
      if (state != ncclInProgress) check(state, what);
      if (Clock::now() > deadline) {
        const std::string reason = what + " timed out after " + seconds() + " s";
        abort_locked(reason);
        throw CommError("rank " + std::to_string(rank()) + ": " + reason, CommError::kUnknownPeer, what);
      }
      std::this_thread::sleep_for(kPollInterval);
    }
  }

  void check(ncclResult_t result, const std::string& what) {
    if (result == ncclSuccess) return;
    const char* detail = ncclGetLastError(comm_);
    const std::string reason = what + ": " + ncclGetErrorString(result) +
                               (detail != nullptr && *detail != '\0' ? std::string(" (") + detail + ")" : "");
    abort_locked(reason);
    throw CommError("rank " + std::to_string(rank()) + ": " + reason, CommError::kUnknownPeer, what);
  }

  void throw_if_failed_locked() const {
    if (!failure_.empty()) throw CommError("rank " + std::to_string(host_->rank()) + ": " + failure_);
    if (comm_ == nullptr)
      throw CommError("rank " + std::to_string(host_->rank()) + ": the NCCL communicator was shut down");
  }

  void abort_locked(const std::string& reason) noexcept {
    if (comm_ == nullptr) return;
    if (failure_.empty()) failure_ = reason;
    ncclCommAbort(comm_);
    comm_ = nullptr;
  }

  std::string seconds() const {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(timeout_).count());
  }

  void watch() {
    const c10::cuda::CUDAGuard guard(device_);
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      wake_.wait_for(lock, kWatchInterval, [this] { return stopping_; });
      if (stopping_ || comm_ == nullptr) continue;
      try {
        look_for_failures_locked();
      } catch (const std::exception& error) {  // the device failed: querying an event throws then
        abort_locked(error.what());
      }
    }
  }

  void look_for_failures_locked() {
    ncclResult_t state = ncclSuccess;
    const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
    if (asked != ncclSuccess || (state != ncclSuccess && state != ncclInProgress)) {
      abort_locked(std::string("asynchronous NCCL error: ") +
                   ncclGetErrorString(asked != ncclSuccess ? asked : state));
      return;
    }
    while (!flights_.empty() && flights_.front()->done.query()) flights_.pop_front();
    if (!flights_.empty() && Clock::now() - flights_.front()->started > timeout_) {
      abort_locked(flights_.front()->collective + " timed out after " + seconds() + " s: a peer is missing");
    }
  }

  void stop_watchdog() {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    if (watchdog_.joinable()) watchdog_.join();
  }

  CommunicatorPtr host_;
  const at::Device device_;
  const std::chrono::milliseconds timeout_;
  c10::cuda::CUDAStream stream_;
  std::atomic<std::int64_t> bytes_sent_{0};

  std::mutex mutex_;  // guards everything below: NCCL calls on one communicator must not run side by side
  std::condition_variable wake_;
  ncclComm_t comm_ = nullptr;
  std::uint64_t sequence_ = 0;
  std::deque<std::shared_ptr<Flight>> flights_;  // oldest first; each is done no later than the one after it
  std::string failure_;
  bool stopping_ = false;
  std::thread watchdog_;
};

void NcclWork::wait() {
  communicator_.throw_if_failed();
  flight_->done.block(c10::cuda::getCurrentCUDAStream(flight_->done.device_index()));
}

}  // namespace

CommunicatorPtr create_nccl_communicator(CommunicatorPtr host, at::Device device,
                                         std::chrono::milliseconds timeout) {
  return std::make_shared<NcclCommunicator>(std::move(host), device, timeout);
}

}  // namespace lockstep
