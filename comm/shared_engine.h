// SharedEngine: the queue of a SharedMemoryCommunicator, and how each collective is done. Not for use outside
// comm/.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "comm/collective.h"
#include "comm/communicator.h"
#include "comm/shared_control.h"
#include "comm/shared_memory.h"
#include "comm/shared_memory_communicator.h"

namespace lockstep {

// Collectives are announced when they are submitted, as far as the peers have room for announcements, and run
// one after the other by whoever waits. Called by one thread at a time, but for fail_from_now_on(). After the
// first failure every later collective fails with the same error.
class SharedEngine : public std::enable_shared_from_this<SharedEngine> {
 public:
  class Work;
  using Body = SharedMemoryCommunicator::Body;

  SharedEngine(std::shared_ptr<SharedMemory> memory, std::vector<int> named_ranks, int ranks_on_machine,
               ReductionOrder order, std::chrono::milliseconds timeout)
      : order_(order),
        timeout_(timeout),
        peers_(std::move(memory), std::move(named_ranks), ranks_on_machine, aborted_) {}

  int rank() const { return peers_.rank(); }
  int world_size() const { return peers_.world_size(); }
  int named_rank(int rank) const { return peers_.named_rank(rank); }
  ReductionOrder order() const { return order_; }
  const std::shared_ptr<SharedMemory>& memory() const { return peers_.memory(); }
  std::int64_t bytes_sent() const { return bytes_sent_.load(std::memory_order_relaxed); }
  double waited_s() const { return peers_.waited_s(); }
  void add_bytes_sent(std::int64_t bytes) { bytes_sent_.fetch_add(bytes, std::memory_order_relaxed); }

  WorkPtr submit(CollectiveSignature signature, at::Tensor output, at::Tensor input, Body body = {},
                 const void* mine = nullptr);
  void finish(const Work& work);
  void drain();
  void fail_from_now_on(std::exception_ptr error, const std::string& reason);

 private:
  void announce_what_fits();
  void announce(Work& work);
  void run(Work& work, const WaitLimit& limit);
  void run_inline(Work& work);
  void run_direct(Work& work, const WaitLimit& limit);
  void run_staged(Work& work, const WaitLimit& limit);
  void stage_all_reduce(Work& work, const WaitLimit& limit);
  void stage_reduce_scatter(Work& work, const WaitLimit& limit);
  void stage_copies(Work& work, const WaitLimit& limit);
  int next_rank() const { return (rank() + 1) % world_size(); }
  template <typename CopyIn, typename Reduce, typename CopyOut>
  void run_stages(std::int64_t stages, const CollectiveSignature& signature, const WaitLimit& limit,
                  CopyIn copy_in, Reduce reduce, CopyOut copy_out);
  void fold_block(Work& work, std::span<const void* const> inputs, void* output, std::int64_t begin,
                  std::int64_t end) const;

  const ReductionOrder order_;
  const std::chrono::milliseconds timeout_;
  std::atomic<bool> aborted_{false};
  SharedPeers peers_;
  std::atomic<std::int64_t> bytes_sent_{0};
  std::deque<std::shared_ptr<Work>> pending_;  // called and not done; the first `announced_` are announced
  std::size_t announced_ = 0;
  std::uint64_t next_sequence_ = 0;
  std::uint32_t stages_ = 0;  // staging rounds so far, which all ranks count alike
  std::uint32_t phases_ = 0;  // direct collectives so far
  std::mutex error_mutex_;    // abort() comes from any thread
  std::exception_ptr error_;
};

// One collective. Shares the engine, whose memory its tensors may lie in.
class SharedEngine::Work final : public lockstep::Work {
 public:
  Work(std::shared_ptr<SharedEngine> engine, CollectiveSignature signature)
      : signature(signature), engine_(std::move(engine)) {}

  void wait() override {
    if (!completed) engine_->finish(*this);
    if (error) std::rethrow_exception(error);
  }
  bool is_completed() const override { return completed; }

  CollectiveSignature signature;
  at::Tensor output;
  at::Tensor input;  // where that is another tensor
  Body body;
  SharedMemory::Offset place = -1;  // of what this rank gives, if in its segment
  const void* given = nullptr;
  std::int64_t given_bytes = 0;
  bool completed = false;
  std::exception_ptr error;

 private:
  std::shared_ptr<SharedEngine> engine_;
};

}  // namespace lockstep
