#include "launch/job_signals.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace lockstep {

JobSignals::JobSignals() {
  sigset_t ours;
  sigemptyset(&ours);
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGCHLD}) {
    struct sigaction action {};
    sigaction(signal, nullptr, &action);
    if (signal != SIGHUP || action.sa_handler != SIG_IGN) {
      sigaddset(&ours, signal);
    }
  }
  fd_ = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd_ < 0) {
    throw std::system_error(errno, std::generic_category(), "signalfd");
  }
  sigprocmask(SIG_BLOCK, &ours, &before_);
}

JobSignals::~JobSignals() {
  while (next()) {
  }
  close(fd_);
  sigprocmask(SIG_SETMASK, &before_, nullptr);
}

void JobSignals::wait(std::optional<std::chrono::milliseconds> at_most) const {
  pollfd waiting{fd_, POLLIN, 0};
  poll(&waiting, 1, at_most ? static_cast<int>(at_most->count()) : -1);
}

std::optional<int> JobSignals::next() const {
  signalfd_siginfo info{};
  return read(fd_, &info, sizeof(info)) == sizeof(info) ? std::optional<int>(info.ssi_signo) : std::nullopt;
}

}  // namespace lockstep
