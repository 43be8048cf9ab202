#include "comm/transport.h"

#include <chrono>
#include <thread>

namespace lockstep {

// Polls for a moment, then sleeps between polls, because on a CPU the backward pass needs the core more than
// we do. Sleeping rather than yielding: a thread that yields to a busy one gets the core back after its whole
// time slice, one that sleeps as soon as it wakes.
void Transport::rest(int turns) {
  constexpr int kEagerPolls = 50;
  constexpr int kShortSleeps = 2000;
  if (turns < kEagerPolls) return;
  std::this_thread::sleep_for(std::chrono::microseconds(turns < kShortSleeps ? 20 : 100));
}

}  // namespace lockstep
