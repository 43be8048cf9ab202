#include "comm/ring_communicator.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "comm/cuda_staging.h"
#include "comm/errors.h"
#include "comm/reduction.h"
#include "comm/ring.h"

namespace lockstep {
namespace {

// For the calling thread, which shares its core with a backward pass: sleeps end when they should (the kernel
// may add 50 us by default), and a time slice shorter than others' lets it in as soon as it wakes (Linux 6.12
// and newer; older kernels take no notice). Both are only wishes.
void wake_promptly() {
  constexpr unsigned long kTimerSlackNs = 1000;
  prctl(PR_SET_TIMERSLACK, kTimerSlackNs, 0, 0, 0);
  struct Attributes {  // sched_setattr(2); glibc has no declaration
    std::uint32_t size = sizeof(Attributes);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t slice_ns = 100000;
    std::uint64_t deadline_ns = 0;
    std::uint64_t period_ns = 0;
  } attributes;
  attributes.nice = getpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)));
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

// One queued collective and its outcome.
class RingWork final : public Work {
 public:
  CollectiveSignature signature;
  at::Tensor output;  // what the caller gets; undefined for a barrier
  at::Tensor input;   // what the caller gives, where that is another tensor
  std::unique_ptr<CudaStaging> staging_in;
  std::unique_ptr<CudaStaging> staging_out;

  void wait() override {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [this] { return completed_; });
    if (error_) std::rethrow_exception(error_);
    if (staging_out) staging_out->wait();
  }

  bool is_completed() const override {
    const std::scoped_lock lock(mutex_);
    return completed_;
  }

  void finish(std::exception_ptr error) {
    {
      const std::scoped_lock lock(mutex_);
      completed_ = true;
      error_ = std::move(error);
    }
    finished_.notify_all();
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable finished_;
  bool completed_ = false;
  std::exception_ptr error_;
};

}  // namespace

// Shared with its thread, so that a thread which MPI keeps for ever (a peer never comes) can be left behind.
class RingCommunicator::Engine : public std::enable_shared_from_this<Engine> {
 public:
  Engine(std::string backend, std::chrono::milliseconds timeout, ReductionOrder order)
      : backend_(std::move(backend)), timeout_(timeout), order_(order) {}

  // Returns once the transport is there.
  void start(MakeTransport make_transport) {
    thread_ =
        std::thread([self = shared_from_this(), make = std::move(make_transport)] { self->live(make); });
    if (!reached(Phase::kServing, timeout_)) {
      thread_.detach();
      throw CommError("the " + backend_ + " backend did not start within " + seconds() +
                      " s: a peer is missing");
    }
    if (const auto error = start_error()) {
      thread_.join();
      std::rethrow_exception(error);
    }
  }

  // Lets the queue run dry and leaves in good order, unless something has failed before.
  void shutdown() {
    {
      const std::scoped_lock lock(mutex_);
      close_in_order_ = error_ == nullptr;
    }
    stop();
    if (reached(Phase::kEnded, timeout_)) {
      if (thread_.joinable()) thread_.join();
      return;
    }
    thread_.detach();
    throw CommError("rank " + std::to_string(rank_) + ": leaving timed out after " + seconds() +
                    " s: a peer is missing");
  }

  // Does not communicate: what is under way fails here, and the peers hear of it from the launcher.
  void abandon() {
    if (!thread_.joinable()) return;
    fail_from_now_on("the communicator was destroyed");
    stop();
    if (reached(Phase::kEnded, std::chrono::seconds(5))) {
      thread_.join();
    } else {
      thread_.detach();
    }
  }

  WorkPtr submit(std::shared_ptr<RingWork> work) {
    {
      const std::scoped_lock lock(mutex_);
      work->signature.sequence = next_sequence_++;
      work->signature.order = order_;
      if (!stopping_) {
        queue_.push_back(work);
        queue_changed_.notify_one();
        return work;
      }
    }
    work->finish(std::make_exception_ptr(CommError("rank " + std::to_string(rank_) + ": " +
                                                   work->signature.describe() +
                                                   " after the communicator was shut down")));
    return work;
  }

  void fail_from_now_on(const std::string& reason) {
    {
      const std::scoped_lock lock(mutex_);
      if (!error_)
        error_ = std::make_exception_ptr(CommError("rank " + std::to_string(rank_) + ": " + reason));
    }
    aborted_.store(true, std::memory_order_release);
  }

  int rank() const { return rank_; }
  int world_size() const { return world_size_; }
  const std::string& backend() const { return backend_; }
  ReductionOrder order() const { return order_; }
  std::int64_t bytes_sent() const { return bytes_sent_.load(std::memory_order_relaxed); }

 private:
  static std::string text_of(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& exception) {
      return exception.what();
    } catch (...) {
      return "an unknown error";
    }
  }

  enum class Phase { kStarting, kServing, kEnded };

  // The thread's life: the transport is made, used and dropped here and nowhere else.
  void live(const MakeTransport& make_transport) {
    wake_promptly();
    std::unique_ptr<Transport> transport;
    try {
      transport = make_transport();
      rank_ = transport->rank();
      world_size_ = transport->world_size();
    } catch (...) {
      enter(Phase::kEnded, std::current_exception());
      return;
    }
    enter(Phase::kServing);
    while (const auto work = next_work()) {
      std::exception_ptr error = first_error();
      if (!error) {
        try {
          run(*transport, *work);
        } catch (...) {
          error = remember(std::current_exception());
        }
      }
      // After a failure nobody may take what is still under way: its memory is about to be given back.
      if (error && transport) {
        transport->fail(text_of(error));
        transport.reset();
      }
      work->finish(error);
    }
    if (transport && close_in_order_) transport->close();
    transport.reset();
    enter(Phase::kEnded);
  }

  void enter(Phase phase, std::exception_ptr start_error = nullptr) {
    const std::scoped_lock lock(mutex_);
    phase_ = phase;
    start_error_ = std::move(start_error);
    phase_changed_.notify_all();
  }

  bool reached(Phase phase, std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return phase_changed_.wait_for(lock, timeout, [&] { return phase_ >= phase; });
  }

  std::exception_ptr start_error() {
    const std::scoped_lock lock(mutex_);
    return start_error_;
  }

  void stop() {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
    queue_changed_.notify_one();
  }

  std::string seconds() const {
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(timeout_).count());
  }

  // Blocks for the next collective; nothing once stopped and drained.
  std::shared_ptr<RingWork> next_work() {
    std::unique_lock lock(mutex_);
    queue_changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return nullptr;
    auto work = std::move(queue_.front());
    queue_.pop_front();
    return work;
  }

  std::exception_ptr first_error() {
    const std::scoped_lock lock(mutex_);
    return error_;
  }

  // An abort's reason says more than "was aborted", so the first error stays.
  std::exception_ptr remember(std::exception_ptr error) {
    const std::scoped_lock lock(mutex_);
    if (!error_) error_ = std::move(error);
    return error_;
  }

  void run(Transport& transport, RingWork& work) {
    const WaitLimit limit(timeout_, aborted_);
    if (work.signature.kind == CollectiveKind::kBarrier) {
      char scratch[2] = {};
      run_ring_collective(transport, work.signature, scratch, limit);
      return;
    }
    at::Tensor output = work.output;
    at::Tensor input = work.input;
    if (work.staging_out) output = work.staging_out->copy_to_host();
    if (work.staging_in) input = work.staging_in->copy_to_host();
    run_on_host(transport, work.signature, output, input, limit);
    if (work.staging_out) work.staging_out->copy_to_device(output, work.output);
  }

  void run_on_host(Transport& transport, const CollectiveSignature& signature, const at::Tensor& output,
                   const at::Tensor& input, const WaitLimit& limit) {
    const auto block_of = [&](const at::Tensor& blocks) {
      const std::int64_t block = blocks.numel() / world_size_;
      return blocks.view({-1}).narrow(0, rank_ * block, block);
    };
    if (signature.kind == CollectiveKind::kReduceScatter) {
      const at::Tensor partial_sums = input.clone();
      bytes_sent_ += run_ring_collective(transport, signature, partial_sums.data_ptr(), limit);
      output.view({-1}).copy_(block_of(partial_sums));
      return;
    }
    if (signature.kind == CollectiveKind::kAllGather) block_of(output).copy_(input.view({-1}));
    bytes_sent_ += run_ring_collective(transport, signature, output.data_ptr(), limit);
  }

  const std::string backend_;
  const std::chrono::milliseconds timeout_;
  const ReductionOrder order_;
  int rank_ = 0;
  int world_size_ = 1;
  std::atomic<bool> aborted_{false};
  std::atomic<bool> close_in_order_{false};
  std::atomic<std::int64_t> bytes_sent_{0};

  std::mutex mutex_;
  std::condition_variable queue_changed_;
  std::deque<std::shared_ptr<RingWork>> queue_;
  std::uint64_t next_sequence_ = 0;
  bool stopping_ = false;
  std::exception_ptr error_;
  std::condition_variable phase_changed_;
  Phase phase_ = Phase::kStarting;
  std::exception_ptr start_error_;
  std::thread thread_;
};

RingCommunicator::RingCommunicator(std::string backend, MakeTransport make_transport,
                                   std::chrono::milliseconds timeout, ReductionOrder order)
    : engine_(std::make_shared<Engine>(std::move(backend), timeout, order)) {
  engine_->start(std::move(make_transport));
}

RingCommunicator::~RingCommunicator() {
  engine_->abandon();
}

int RingCommunicator::rank() const {
  return engine_->rank();
}
int RingCommunicator::world_size() const {
  return engine_->world_size();
}
std::string RingCommunicator::backend() const {
  return engine_->backend();
}
ReductionOrder RingCommunicator::reduction_order() const {
  return engine_->order();
}
std::int64_t RingCommunicator::bytes_sent() const {
  return engine_->bytes_sent();
}

namespace {

std::unique_ptr<CudaStaging> stage(const at::Tensor& tensor) {
  return tensor.is_cuda() ? std::make_unique<CudaStaging>(tensor) : nullptr;
}

}  // namespace

WorkPtr RingCommunicator::all_reduce(at::Tensor tensor, ReduceOp op) {
  check_collective_tensor(tensor, "all_reduce");
  auto work = std::make_shared<RingWork>();
  work->signature = {0, CollectiveKind::kAllReduce, op, tensor.scalar_type(), 0, tensor.numel()};
  work->staging_out = stage(tensor);
  work->output = std::move(tensor);
  return engine_->submit(std::move(work));
}

WorkPtr RingCommunicator::reduce_scatter(at::Tensor output, at::Tensor input, ReduceOp op) {
  check_collective_blocks(output, input, world_size(), "reduce_scatter");
  auto work = std::make_shared<RingWork>();
  work->signature = {0, CollectiveKind::kReduceScatter, op, input.scalar_type(), 0, input.numel()};
  work->staging_out = stage(output);
  work->staging_in = stage(input);
  work->output = std::move(output);
  work->input = std::move(input);
  return engine_->submit(std::move(work));
}

WorkPtr RingCommunicator::all_gather(at::Tensor output, at::Tensor input) {
  check_collective_blocks(input, output, world_size(), "all_gather");
  auto work = std::make_shared<RingWork>();
  work->signature = {0, CollectiveKind::kAllGather, ReduceOp::kSum, output.scalar_type(), 0, output.numel()};
  work->staging_out = stage(output);
  work->staging_in = stage(input);
  work->output = std::move(output);
  work->input = std::move(input);
  return engine_->submit(std::move(work));
}

WorkPtr RingCommunicator::broadcast(at::Tensor tensor, int root) {
  check_collective_tensor(tensor, "broadcast");
  check_root(root, world_size());
  auto work = std::make_shared<RingWork>();
  work->signature = {
      0, CollectiveKind::kBroadcast, ReduceOp::kSum, tensor.scalar_type(), root, tensor.numel()};
  work->staging_out = stage(tensor);
  work->output = std::move(tensor);
  return engine_->submit(std::move(work));
}

void RingCommunicator::barrier() {
  auto work = std::make_shared<RingWork>();
  work->signature = {0, CollectiveKind::kBarrier, ReduceOp::kSum, at::kByte, 0, 0};
  engine_->submit(std::move(work))->wait();
}

void RingCommunicator::shutdown() {
  engine_->shutdown();
}

void RingCommunicator::abort(const std::string& reason) noexcept {
  try {
    engine_->fail_from_now_on(reason);
  } catch (...) {
    std::terminate();  // out of memory for an error message: nothing can be told to anybody any more
  }
}

}  // namespace lockstep
