// Reviewed call by call against nccl.h 2.28; docs/gpu.md has the table.
#include "comm/nccl_session.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGraphsC10Utils.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

#include <cstring>
#include <optional>
#include <utility>

#include "comm/errors.h"
#include "comm/reduction.h"

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

// NCCL's own thread needs tens of microseconds to queue a kernel; a sleep would cost as much again.
constexpr auto kSpin = std::chrono::microseconds(200);
constexpr auto kPollInterval = std::chrono::microseconds(50);
constexpr auto kWatchInterval = std::chrono::milliseconds(100);
// ncclCommAbort joins a thread of NCCL's that may wait for a peer's registration and not look for the abort.
constexpr auto kLongestAbort = std::chrono::seconds(10);

}  // namespace

// What the training thread and the watchdog share about one collective.
struct NcclSession::Flight {
  std::string collective;
  Clock::time_point started;
  at::cuda::CUDAEvent done;
  bool recorded = false;  // in a capture: `done` may be waited for within it, and never queried
  std::optional<TracedCollective> traced;  // not where it is recorded
};

class NcclWork final : public Work {
 public:
  NcclWork(std::shared_ptr<NcclSession::Flight> flight, NcclSession& session)
      : flight_(std::move(flight)), session_(session) {}
  void wait() override {
    session_.throw_if_failed();
    const auto block = [this] {
      flight_->done.block(c10::cuda::getCurrentCUDAStream(flight_->done.device_index()));
    };
    if (flight_->traced) {
      flight_->traced->wait(block);
    } else {
      block();
    }
  }
  bool is_completed() const override {
    if (flight_->recorded) return false;
    try {
      return flight_->done.query();
    } catch (const std::exception&) {
      return true;  // the device failed, and with it the collective; wait() tells
    }
  }

 private:
  std::shared_ptr<NcclSession::Flight> flight_;
  NcclSession& session_;
};

NcclSession::NcclSession(Communicator& host, at::Device device, std::chrono::milliseconds timeout,
                         bool spares_sms)
    : rank_(host.rank()),
      name_("rank " + std::to_string(host.named_rank(host.rank()))),
      device_(device),
      timeout_(timeout),
      stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {
  const c10::cuda::CUDAGuard guard(device_);
  ncclUniqueId id{};
  current_ = "ncclGetUniqueId";
  if (rank_ == 0) check(ncclGetUniqueId(&id));
  at::Tensor bytes = at::empty({static_cast<std::int64_t>(sizeof id)}, at::TensorOptions().dtype(at::kByte));
  std::memcpy(bytes.data_ptr(), &id, sizeof id);
  host.broadcast(bytes, 0)->wait();
  std::memcpy(&id, bytes.data_ptr(), sizeof id);

  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
#ifdef NCCL_CTA_POLICY_ZERO
  if (spares_sms) config.CTAPolicy = NCCL_CTA_POLICY_ZERO;
#else
  static_cast<void>(spares_sms);
#endif
  const std::scoped_lock lock(mutex_);
  current_ = "ncclCommInitRankConfig";
  const ncclResult_t started = ncclCommInitRankConfig(&comm_, host.world_size(), id, rank_, &config);
  if (!is_accepted(started)) check(started);
  poll_until_done();
  watchdog_ = std::thread([this] { run_watchdog(); });
}

NcclSession::~NcclSession() {
  stop_watchdog();
  const std::scoped_lock lock(mutex_);
  abort_locked("the communicator was destroyed");
  if (aborted_.valid()) aborted_.wait_for(kLongestAbort);
}

WorkPtr NcclSession::launch(const char* name, const at::Tensor& described,
                            std::initializer_list<at::Tensor> tensors, const std::function<void()>& body) {
  const c10::cuda::CUDAGuard guard(device_);
  const std::scoped_lock in_order(order_);
  auto flight = std::make_shared<Flight>();
  flight->collective = describe_collective(name, sequence_++, described.scalar_type(), described.numel());
  begin_call(flight->collective);
  flight->started = Clock::now();
  flight->recorded = c10::cuda::currentStreamCaptureStatusMayInitCtx() != c10::cuda::CaptureStatus::None;
  if (trace_ && !flight->recorded) {
    flight->traced.emplace(trace_, name, static_cast<std::int64_t>(described.nbytes()));
  }
  at::cuda::CUDAEvent ready;
  ready.record(c10::cuda::getCurrentCUDAStream(device_.index()));
  ready.block(stream_);
  {
    const c10::cuda::CUDAStreamGuard ours(stream_);
    const at::NoGradGuard no_grad;
    if (flight->traced) {
      flight->traced->queue(body);
    } else {
      body();
    }
  }
  flight->done.record(stream_);
  for (const at::Tensor& tensor : tensors) {
    c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), stream_);
  }
  if (!flight->recorded) add_flight(flight);
  return std::make_shared<NcclWork>(std::move(flight), *this);
}

void NcclSession::begin_call(const std::string& what) {
  const std::scoped_lock lock(mutex_);
  throw_if_failed_locked();
  current_ = what;
}

void NcclSession::add_flight(std::shared_ptr<Flight> flight) {
  const std::scoped_lock lock(mutex_);
  flights_.push_back(std::move(flight));
}

void NcclSession::enqueue(const Calls& calls) {
  const std::scoped_lock lock(mutex_);
  throw_if_failed_locked();
  check(ncclGroupStart());
  const ncclResult_t called = calls(comm_, stream_.stream());
  const ncclResult_t ended =
      ncclGroupEnd();  // also where a call failed: an open group would swallow the abort
  if (!is_accepted(called)) check(called);
  if (!is_accepted(ended)) check(ended);
  poll_until_done();
}

ncclResult_t NcclSession::alone(const char* what, const Calls& calls) {
  const c10::cuda::CUDAGuard guard(device_);
  const std::scoped_lock lock(order_, mutex_);
  throw_if_failed_locked();
  current_ = what;
  const ncclResult_t result = calls(comm_, stream_.stream());
  if (result == ncclInProgress) poll_until_done();
  return is_accepted(result) ? ncclSuccess : result;
}

void NcclSession::watch(const std::string& what) {
  const c10::cuda::CUDAGuard guard(device_);
  const std::scoped_lock in_order(order_);
  throw_if_failed();
  auto flight = std::make_shared<Flight>();
  flight->collective = what;
  flight->started = Clock::now();
  flight->done.record(c10::cuda::getCurrentCUDAStream(device_.index()));
  add_flight(std::move(flight));
}

void NcclSession::set_device_trace(std::shared_ptr<DeviceTrace> trace) {
  const std::scoped_lock in_order(order_);
  trace_ = std::move(trace);
}

void NcclSession::throw_if_failed() {
  const std::scoped_lock lock(mutex_);
  throw_if_failed_locked();
}

void NcclSession::synchronize() {
  const c10::cuda::CUDAGuard guard(device_);
  c10::cuda::device_synchronize();
  throw_if_failed();
}

void NcclSession::shutdown() {
  stop_watchdog();
  const std::scoped_lock lock(order_, mutex_);
  if (comm_ == nullptr) return;
  flights_.clear();  // events outlive a device's driver badly
  current_ = "ncclCommFinalize";
  const ncclResult_t result = ncclCommFinalize(comm_);
  if (!is_accepted(result)) check(result);
  poll_until_done();
  current_ = "ncclCommDestroy";
  check(ncclCommDestroy(std::exchange(comm_, nullptr)));
}

void NcclSession::abort(const std::string& reason) noexcept {
  const std::scoped_lock lock(mutex_);
  abort_locked(reason);
}

void NcclSession::poll_until_done() {
  const auto begin = Clock::now();
  while (true) {
    ncclResult_t state = ncclSuccess;
    check(ncclCommGetAsyncError(comm_, &state));
    if (state == ncclSuccess) return;
    if (state != ncclInProgress) check(state);
    const auto waited = Clock::now() - begin;
    if (waited > timeout_) fail(current_ + " timed out after " + timeout_text());
    if (waited < kSpin) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(kPollInterval);
    }
  }
}

void NcclSession::check(ncclResult_t result) {
  if (result == ncclSuccess) return;
  const char* detail = ncclGetLastError(comm_);
  fail(current_ + ": " + ncclGetErrorString(result) +
       (detail != nullptr && *detail != '\0' ? std::string(" (") + detail + ")" : ""));
}

void NcclSession::fail(const std::string& reason) {
  abort_locked(reason);
  throw CommError(name_ + ": " + reason, CommError::kUnknownPeer, current_);
}

void NcclSession::throw_if_failed_locked() const {
  if (!failure_.empty()) throw CommError(name_ + ": " + failure_);
  if (comm_ == nullptr) throw CommError(name_ + ": the NCCL communicator was shut down");
}

void NcclSession::abort_locked(const std::string& reason) noexcept {
  if (comm_ == nullptr) return;
  if (failure_.empty()) failure_ = reason;
  // It stops the kernels at once, but returns only when no graph is left that has captured a collective.
  // Graphs are destroyed by whoever learns of the failure from us, maybe on this very thread, so nobody waits
  // for it here.
  ncclComm_t comm = std::exchange(comm_, nullptr);
  try {
    std::promise<void> done;
    aborted_ = done.get_future();
    std::thread([comm, device = device_.index(), done = std::move(done)]() mutable {
      static_cast<void>(cudaSetDevice(device));  // which may be what has failed
      ncclCommAbort(comm);
      done.set_value();
    }).detach();
  } catch (const std::exception&) {  // no thread to be had
    ncclCommAbort(comm);
  }
}

std::string NcclSession::timeout_text() const {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(timeout_).count()) + " s";
}

void NcclSession::run_watchdog() {
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

void NcclSession::look_for_failures_locked() {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  if (asked != ncclSuccess || !is_accepted(state)) {
    abort_locked(std::string("asynchronous NCCL error: ") +
                 ncclGetErrorString(asked != ncclSuccess ? asked : state));
    return;
  }
  while (!flights_.empty() && flights_.front()->done.query()) flights_.pop_front();
  if (!flights_.empty() && Clock::now() - flights_.front()->started > timeout_) {
    abort_locked(flights_.front()->collective + " timed out after " + timeout_text() + ": a peer is missing");
  }
}

void NcclSession::stop_watchdog() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (watchdog_.joinable()) watchdog_.join();
}

}  // namespace lockstep
