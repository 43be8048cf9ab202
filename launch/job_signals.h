// The signals that belong to a job, taken out of the way of the process that supervises it.
#pragma once

#include <chrono>
#include <csignal>
#include <optional>

namespace lockstep {

// From its making to its end SIGINT, SIGTERM, SIGUSR1 and SIGHUP (unless ignored, as under nohup) end nobody
// but wait to be read here, as does SIGCHLD. What is still waiting at the end is dropped. One at a time, on
// the main thread.
class JobSignals {
 public:
  JobSignals();  // throws std::system_error
  ~JobSignals();
  JobSignals(const JobSignals&) = delete;
  JobSignals& operator=(const JobSignals&) = delete;

  // Returns when a signal has come, or after `at_most`.
  void wait(std::optional<std::chrono::milliseconds> at_most) const;
  // The next that has come; never blocks.
  std::optional<int> next() const;

  // What was blocked before, for a child.
  const sigset_t& mask_before() const { return before_; }

 private:
  sigset_t before_{};
  int fd_ = -1;
};

}  // namespace lockstep
