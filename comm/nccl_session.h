// One NCCL communicator with its stream and its watchdog: the lower half of comm/nccl_communicator.cpp, whose
// collectives it queues. Not for use outside comm/.
#pragma once

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>
#include <nccl.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <future>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "comm/communicator.h"
#include "comm/traced_collective.h"

namespace lockstep {

// Done, or going to be: what a call on a non-blocking communicator answers.
inline bool is_accepted(ncclResult_t result) {
  return result == ncclSuccess || result == ncclInProgress;
}

// The communicator is non-blocking (config.blocking = 0): every NCCL call may answer ncclInProgress, and is
// polled to its end with ncclCommGetAsyncError before an event is recorded, since otherwise the event would
// precede the kernel. A thread of its own looks for asynchronous errors and for collectives older than the
// timeout, and aborts; whoever calls or waits next gets the CommError. All of it from any thread: NCCL's
// calls are made one after the other.
//
// Collectives of a stream that is being captured are recorded: they are left to whoever replays them, since
// to query an event of a capture is an error and would end it.
class NcclSession {
 public:
  using Calls = std::function<ncclResult_t(ncclComm_t, cudaStream_t)>;

  // What travels between ranks before there is a communicator goes over `host`. `spares_sms`: what NCCL can
  // do with copy engines (all-gathers of symmetric windows within NVLink's reach, from 2.28.3 on) takes none
  // of the device's multiprocessors. Collective.
  NcclSession(Communicator& host, at::Device device, std::chrono::milliseconds timeout,
              bool spares_sms = false);
  // Does not communicate: without shutdown() the communicator is aborted, which is local.
  ~NcclSession();
  NcclSession(const NcclSession&) = delete;
  NcclSession& operator=(const NcclSession&) = delete;

  at::Device device() const { return device_; }

  // Queues one collective behind what the current stream has queued. `body` runs with our stream as the
  // current one, and makes NCCL calls through enqueue() only. `tensors` are told to the allocator, so that
  // their memory is not handed out again before our stream is done with it.
  WorkPtr launch(const char* name, const at::Tensor& described, std::initializer_list<at::Tensor> tensors,
                 const std::function<void()>& body);
  // Makes `calls` as one group. For the body of launch(), or of alone().
  void enqueue(const Calls& calls);
  // Makes one call that queues nothing, `what` being its name; returns NCCL's answer once it is there. One
  // that fails at once leaves the communicator as it was.
  ncclResult_t alone(const char* what, const Calls& calls);

  // Counts what the current stream has queued so far as one collective more, for the timeout: a captured
  // step's replay, whose collectives were not watched when they were recorded.
  void watch(const std::string& what);

  // Null: collectives are not traced. Those of a capture never are.
  void set_device_trace(std::shared_ptr<DeviceTrace> trace);

  void throw_if_failed();
  // Until the device has nothing left to do: the sums of a replay are on the stream that it was queued on.
  // Blocks the host.
  void synchronize();
  // Leaves in good order, when the ranks have met and nothing is under way. Collective.
  void shutdown();
  void abort(const std::string& reason) noexcept;

 private:
  friend class NcclWork;
  struct Flight;

  void begin_call(const std::string& what);
  void add_flight(std::shared_ptr<Flight> flight);
  // These must be called with mutex_ held.
  void poll_until_done();
  void check(ncclResult_t result);
  void throw_if_failed_locked() const;
  void abort_locked(const std::string& reason) noexcept;
  void look_for_failures_locked();

  [[noreturn]] void fail(const std::string& reason);
  void run_watchdog();
  void stop_watchdog();
  std::string timeout_text() const;

  const int rank_;
  const std::string name_;  // of this rank, in errors
  const at::Device device_;
  const std::chrono::milliseconds timeout_;
  c10::cuda::CUDAStream stream_;

  // One collective is queued after the other, behind this one. CUDA may make the host wait meanwhile (a full
  // launch queue behind a peer that is gone), which must not keep the watchdog from aborting: what follows
  // has a mutex of its own, locked after this one.
  std::mutex order_;
  std::uint64_t sequence_ = 0;
  std::shared_ptr<DeviceTrace> trace_;

  std::mutex mutex_;  // guards everything below: NCCL calls on one communicator must not run side by side
  std::condition_variable wake_;
  ncclComm_t comm_ = nullptr;
  std::string current_;                          // what is being called, for errors
  std::deque<std::shared_ptr<Flight>> flights_;  // oldest first; each is done no later than the one after it
  std::string failure_;
  std::future<void> aborted_;  // valid from the first failure on
  bool stopping_ = false;
  std::thread watchdog_;
};

}  // namespace lockstep
