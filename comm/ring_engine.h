// The thread of a RingCommunicator and its queue. Not for use outside comm/.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "comm/collective.h"
#include "comm/collective_runner.h"
#include "comm/cuda_staging.h"

namespace lockstep {

// One queued collective and its outcome.
class RingWork final : public Work {
 public:
  CollectiveSignature signature;
  at::Tensor output;  // what the caller gets; undefined for a barrier
  at::Tensor input;   // what the caller gives, where that is another tensor
  std::unique_ptr<CudaStaging> staging_in;
  std::unique_ptr<CudaStaging> staging_out;

  void wait() override;
  bool is_completed() const override;
  void finish(std::exception_ptr error);

 private:
  mutable std::mutex mutex_;
  std::condition_variable finished_;
  bool completed_ = false;
  std::exception_ptr error_;
};

// Shared with its thread, so that a thread which MPI keeps for ever (a peer never comes) can be left behind.
class RingEngine : public std::enable_shared_from_this<RingEngine> {
 public:
  using MakeRunner = std::function<std::unique_ptr<CollectiveRunner>()>;

  RingEngine(std::string backend, std::chrono::milliseconds timeout, ReductionOrder order)
      : backend_(std::move(backend)), timeout_(timeout), order_(order) {}

  // Returns once the runner is there.
  void start(MakeRunner make_runner);
  // Lets the queue run dry and leaves in good order, unless something has failed before.
  void shutdown();
  // Does not communicate: what is under way fails here, and the peers hear of it from the launcher.
  void abandon();
  WorkPtr submit(std::shared_ptr<RingWork> work);
  void fail_from_now_on(const std::string& reason);

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }
  int named_rank(int rank) const { return named_ranks_[static_cast<std::size_t>(rank)]; }
  const std::string& backend() const { return backend_; }
  ReductionOrder order() const { return order_; }
  std::int64_t bytes_sent() const { return bytes_sent_.load(std::memory_order_relaxed); }
  const std::shared_ptr<SharedMemory>& memory() const { return memory_; }

 private:
  enum class Phase { kStarting, kServing, kEnded };

  void live(const MakeRunner& make_runner);
  void set_runner(CollectiveRunner* runner);
  void enter(Phase phase, std::exception_ptr error = nullptr);
  bool reached(Phase phase, std::chrono::milliseconds timeout);
  std::exception_ptr end_error();
  void stop();
  std::string seconds() const;
  std::string name() const { return "rank " + std::to_string(named_rank(rank_)); }  // of this rank, in errors
  bool wait_for_work();
  std::shared_ptr<RingWork> next_work();
  std::exception_ptr first_error();
  std::exception_ptr remember(std::exception_ptr error);
  void run(CollectiveRunner& runner, RingWork& work);

  const std::string backend_;
  const std::chrono::milliseconds timeout_;
  const ReductionOrder order_;
  int rank_ = 0;
  int world_size_ = 1;
  std::vector<int> named_ranks_;
  std::shared_ptr<SharedMemory> memory_;
  std::atomic<bool> aborted_{false};
  std::atomic<bool> close_in_order_{false};
  std::atomic<std::int64_t> bytes_sent_{0};

  std::mutex mutex_;
  std::condition_variable queue_changed_;
  std::deque<std::shared_ptr<RingWork>> queue_;
  std::uint64_t next_sequence_ = 0;
  bool stopping_ = false;
  bool silent_ = false;  // being destroyed, and nothing has failed
  std::exception_ptr error_;
  std::condition_variable phase_changed_;
  Phase phase_ = Phase::kStarting;
  std::exception_ptr end_error_;
  CollectiveRunner* runner_ = nullptr;
  std::thread thread_;
};

}  // namespace lockstep
