#include "comm/ring_engine.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <utility>

#include "comm/errors.h"

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

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an unknown error";
  }
}

}  // namespace

void RingWork::wait() {
  std::unique_lock lock(mutex_);
  finished_.wait(lock, [this] { return completed_; });
  if (error_) std::rethrow_exception(error_);
  if (staging_out) staging_out->wait();
}

bool RingWork::is_completed() const {
  const std::scoped_lock lock(mutex_);
  return completed_;
}

void RingWork::finish(std::exception_ptr error) {
  {
    const std::scoped_lock lock(mutex_);
    completed_ = true;
    error_ = std::move(error);
  }
  finished_.notify_all();
}

void RingEngine::start(MakeRunner make_runner) {
  thread_ = std::thread([self = shared_from_this(), make = std::move(make_runner)] { self->live(make); });
  if (!reached(Phase::kServing, timeout_)) {
    thread_.detach();
    throw CommError("the " + backend_ + " backend did not start within " + seconds() +
                    " s: a peer is missing");
  }
  if (const auto error = end_error()) {
    thread_.join();
    std::rethrow_exception(error);
  }
}

void RingEngine::shutdown() {
  {
    const std::scoped_lock lock(mutex_);
    close_in_order_ = error_ == nullptr;
  }
  stop();
  if (reached(Phase::kEnded, timeout_)) {
    if (thread_.joinable()) thread_.join();
    if (const auto error = end_error()) std::rethrow_exception(error);
    return;
  }
  thread_.detach();
  throw CommError(name() + ": leaving timed out after " + seconds() + " s: a peer is missing");
}

void RingEngine::abandon() {
  if (!thread_.joinable()) return;
  {
    // A destructor tells the peers nothing, but for the reason of an abort before it.
    const std::scoped_lock lock(mutex_);
    silent_ = error_ == nullptr;
    stopping_ = true;
  }
  fail_from_now_on("the communicator was destroyed");
  if (reached(Phase::kEnded, std::chrono::seconds(5))) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

WorkPtr RingEngine::submit(std::shared_ptr<RingWork> work) {
  {
    const std::scoped_lock lock(mutex_);
    work->signature.sequence = next_sequence_++;
    if (!stopping_) {
      queue_.push_back(work);
      queue_changed_.notify_one();
      return work;
    }
  }
  work->finish(std::make_exception_ptr(
      CommError(name() + ": " + work->signature.describe() + " after the communicator was shut down")));
  return work;
}

void RingEngine::fail_from_now_on(const std::string& reason) {
  {
    const std::scoped_lock lock(mutex_);
    if (!error_) error_ = std::make_exception_ptr(CommError(name() + ": " + reason));
    if (runner_ != nullptr) runner_->abort(reason);
    queue_changed_.notify_one();  // for the peers wait for a rank that may have nothing to do
  }
  aborted_.store(true, std::memory_order_release);
}

// The thread's life: the runner is made, used and dropped here and nowhere else.
void RingEngine::live(const MakeRunner& make_runner) {
  wake_promptly();
  std::unique_ptr<CollectiveRunner> runner;
  try {
    runner = make_runner();
    rank_ = runner->rank();
    world_size_ = runner->world_size();
    for (int r = 0; r < world_size_; ++r) named_ranks_.push_back(runner->named_rank(r));
    memory_ = runner->memory();
  } catch (...) {
    enter(Phase::kEnded, std::current_exception());
    return;
  }
  set_runner(runner.get());
  enter(Phase::kServing);
  while (wait_for_work()) {
    const auto work = next_work();
    std::exception_ptr error = first_error();
    if (work && !error) {
      try {
        run(*runner, *work);
      } catch (...) {
        error = remember(std::current_exception());
      }
    }
    // After a failure nobody may take what is still under way: its memory is about to be given back.
    if (error && runner) {
      runner->fail(text_of(error));
      set_runner(nullptr);
      runner.reset();
    }
    if (work) work->finish(error);
  }
  std::exception_ptr end_error;
  if (runner && close_in_order_) {
    try {
      runner->close();
    } catch (...) {
      end_error = std::current_exception();
    }
  }
  set_runner(nullptr);
  runner.reset();
  enter(Phase::kEnded, end_error);
}

// What an abort from another thread reaches.
void RingEngine::set_runner(CollectiveRunner* runner) {
  const std::scoped_lock lock(mutex_);
  runner_ = runner;
}

void RingEngine::enter(Phase phase, std::exception_ptr error) {
  const std::scoped_lock lock(mutex_);
  phase_ = phase;
  end_error_ = std::move(error);
  phase_changed_.notify_all();
}

bool RingEngine::reached(Phase phase, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  return phase_changed_.wait_for(lock, timeout, [&] { return phase_ >= phase; });
}

// Why it could not start, or not leave in good order.
std::exception_ptr RingEngine::end_error() {
  const std::scoped_lock lock(mutex_);
  return end_error_;
}

void RingEngine::stop() {
  const std::scoped_lock lock(mutex_);
  stopping_ = true;
  queue_changed_.notify_one();
}

std::string RingEngine::seconds() const {
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(timeout_).count());
}

// Blocks for a collective, or for a failure that the peers are to hear of; false once stopped and drained.
bool RingEngine::wait_for_work() {
  std::unique_lock lock(mutex_);
  const auto has_news = [this] { return error_ && runner_ != nullptr && !silent_; };
  queue_changed_.wait(lock, [&] { return stopping_ || !queue_.empty() || has_news(); });
  return !queue_.empty() || has_news() || !stopping_;
}

// The next collective, if there is one.
std::shared_ptr<RingWork> RingEngine::next_work() {
  const std::scoped_lock lock(mutex_);
  if (queue_.empty()) return nullptr;
  auto work = std::move(queue_.front());
  queue_.pop_front();
  return work;
}

std::exception_ptr RingEngine::first_error() {
  const std::scoped_lock lock(mutex_);
  return error_;
}

// An abort's reason says more than "was aborted", so the first error stays.
std::exception_ptr RingEngine::remember(std::exception_ptr error) {
  const std::scoped_lock lock(mutex_);
  if (!error_) error_ = std::move(error);
  return error_;
}

void RingEngine::run(CollectiveRunner& runner, RingWork& work) {
  const WaitLimit limit(timeout_, aborted_);
  at::Tensor output = work.output;
  at::Tensor input = work.input;
  if (work.staging_out) output = work.staging_out->copy_to_host();
  if (work.staging_in) input = work.staging_in->copy_to_host();
  bytes_sent_ += runner.run(work.signature, output, input, limit);
  if (work.staging_out) work.staging_out->copy_to_device(output, work.output);
}

}  // namespace lockstep
