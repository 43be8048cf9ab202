// SharedFlag: a counter in shared memory that one rank raises and others wait for. Not for use outside comm/.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <ctime>

namespace lockstep {

// On a cache line of its own. Values only grow, modulo 2^32. Zeroed memory is a valid flag at 0.
class alignas(64) SharedFlag {
 public:
  // Called by its owner alone. Everything written before is seen by whoever sees the value.
  void raise(std::uint32_t value) {
    value_.store(value, std::memory_order_seq_cst);
    if (sleepers_.load(std::memory_order_seq_cst) != 0) wake();
  }
  bool reached(std::uint32_t target) const {
    return static_cast<std::int32_t>(value_.load(std::memory_order_acquire) - target) >= 0;
  }
  std::uint32_t value() const { return value_.load(std::memory_order_acquire); }

  // Sleeps until the flag may have changed, or for `milliseconds`.
  void sleep(std::uint32_t target, long milliseconds) {
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    const std::uint32_t seen = value_.load(std::memory_order_seq_cst);
    if (static_cast<std::int32_t>(seen - target) < 0) {
      const timespec limit{milliseconds / 1000, milliseconds % 1000 * 1000000};
      syscall(SYS_futex, &value_, FUTEX_WAIT, seen, &limit, nullptr, 0);
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
  }
  void wake() { syscall(SYS_futex, &value_, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0); }

 private:
  std::atomic<std::uint32_t> value_;
  std::atomic<std::uint32_t> sleepers_;
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
};

}  // namespace lockstep
