#include "trainer/checkpoint/checkpoint_writer.h"

#include <pthread.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kLastGrace = std::chrono::seconds(5);

// Signals are for the training thread.
void block_signals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

}  // namespace

struct CheckpointWriter::Shared {
  Shared(RunDir run_dir, int keep_last, Retries how_often)
      : retries(how_often),
        manager(std::move(run_dir), keep_last, [this](const std::string& line) { warn(line); }) {}

  void warn(const std::string& line) {
    const std::scoped_lock lock(mutex);
    warnings.push_back(line);
  }

  // The thread's whole life.
  void run() {
    block_signals();
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [this] { return stopping || state == State::kWriting; });
      if (state != State::kWriting) break;
      write(lock);
      if (stopping) break;
    }
    ended = true;
    changed.notify_all();
  }

  // With all its tries.
  void write(std::unique_lock<std::mutex>& lock) {
    for (int failures = 0;;) {
      const std::string failure = try_once(lock);
      if (failure.empty() || ++failures > retries.most || stopping) return finish(failure);
      const auto wait = retries.first_wait * (1 << std::min(failures - 1, 20));
      warnings.push_back(
          "the checkpoint of step " + std::to_string(checkpoint.step) + " cannot be written: " + failure +
          "; training goes on, try " + std::to_string(failures + 1) + " of " +
          std::to_string(retries.most + 1) + " follows in " +
          std::to_string(std::chrono::duration_cast<std::chrono::seconds>(wait).count()) + " s");
      state = State::kWaiting;
      changed.notify_all();
      changed.wait_for(lock, wait, [this] { return stopping; });
      changed.wait(lock, [this] { return stopping || !held; });
      state = State::kWriting;
      if (stopping) return finish(failure);  // what it holds may be half of a newer snapshot
    }
  }

  void finish(const std::string& failure) {
    const std::chrono::duration<double> taken = Clock::now() - began;
    end = WriteEnd{checkpoint.step, taken.count(), failure};
    checkpoint = {};
    state = State::kIdle;
    changed.notify_all();
  }

  // Empty, or why it failed.
  std::string try_once(std::unique_lock<std::mutex>& lock) {
    const Checkpoint now = checkpoint;
    lock.unlock();
    std::string failure;
    try {
      manager.save(now);
    } catch (const std::exception& error) {
      failure = first_line(error.what());
    }
    lock.lock();
    return failure;
  }

  const Retries retries;
  CheckpointManager manager;
  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  State state = State::kIdle;
  bool held = false;
  bool stopping = false;
  bool ended = false;
  Checkpoint checkpoint;
  Clock::time_point began;
  std::optional<WriteEnd> end;
  std::vector<std::string> warnings;
};

CheckpointWriter::CheckpointWriter(RunDir run_dir, int keep_last, Retries retries)
    : shared_(std::make_shared<Shared>(std::move(run_dir), keep_last, retries)) {
  std::thread([shared = shared_] { shared->run(); }).detach();
}

CheckpointWriter::~CheckpointWriter() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, kLastGrace, [this] { return shared_->ended; });
}

void CheckpointWriter::start(Checkpoint checkpoint) {
  const std::scoped_lock lock(shared_->mutex);
  if (shared_->state == State::kWriting)
    throw std::logic_error("a checkpoint is being written: wait for it before the next");
  shared_->checkpoint = std::move(checkpoint);
  shared_->began = Clock::now();
  shared_->held = false;
  if (shared_->state == State::kIdle) shared_->state = State::kWriting;
  shared_->changed.notify_all();
}

CheckpointWriter::State CheckpointWriter::state() const {
  const std::scoped_lock lock(shared_->mutex);
  return shared_->state;
}

bool CheckpointWriter::hold(std::chrono::milliseconds limit) {
  std::unique_lock lock(shared_->mutex);
  const auto not_writing = [this] { return shared_->state != State::kWriting; };
  if (!shared_->changed.wait_for(lock, limit, not_writing)) return false;
  shared_->held = shared_->state == State::kWaiting;
  return true;
}

bool CheckpointWriter::wait_until_idle(std::chrono::milliseconds limit) {
  std::unique_lock lock(shared_->mutex);
  shared_->held = false;
  shared_->changed.notify_all();
  return shared_->changed.wait_for(lock, limit, [this] { return shared_->state == State::kIdle; });
}

std::optional<WriteEnd> CheckpointWriter::take_end() {
  const std::scoped_lock lock(shared_->mutex);
  return std::exchange(shared_->end, std::nullopt);
}

std::vector<std::string> CheckpointWriter::take_warnings() {
  const std::scoped_lock lock(shared_->mutex);
  return std::exchange(shared_->warnings, {});
}

}  // namespace lockstep
