#include "trainer/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "trainer/run_dir/exit_code.h"

namespace lockstep {
namespace {

std::atomic<int> g_requests{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use lock-free atomics only");

void on_signal(int signal) {
  if (g_requests.fetch_add(1) > 0 && signal == SIGINT) _exit(static_cast<int>(ExitCode::kPeerFailed));
}

}  // namespace

void install_pause_signals(bool under_launcher) {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGUSR1, &action, nullptr);
  if (!under_launcher) {
    sigaction(SIGTERM, &action, nullptr);
    sigaction(SIGINT, &action, nullptr);
  }
  sigset_t unblocked;
  sigemptyset(&unblocked);
  sigaddset(&unblocked, SIGUSR1);
  pthread_sigmask(SIG_UNBLOCK, &unblocked, nullptr);
}

void request_pause() {
  g_requests.fetch_add(1);
}

bool pause_requested() {
  return g_requests.load(std::memory_order_relaxed) > 0;
}

}  // namespace lockstep
