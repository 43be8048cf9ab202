#include "comm/shared_control.h"

#include <sched.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "comm/errors.h"
#include "comm/shared_flag.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lockstep {
namespace {

constexpr std::uint32_t kSlots = 16;  // collectives that may be announced and not done
constexpr std::size_t kReasonBytes = 1024;
constexpr long kSleepMs = 50;  // between two looks at whether anybody is still there
constexpr std::int64_t kCacheLine = 64;

void relax() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

struct Slot {
  CollectiveSignature signature;
  SharedMemory::Offset place;
  alignas(kCacheLine) std::byte payload[kInlineBytes];
};

}  // namespace

// In zeroed memory, which is a valid one.
struct SharedControl {
  SharedFlag announced;  // collectives
  SharedFlag completed;  // collectives
  SharedFlag phase;
  SharedFlag filled;  // stages
  SharedFlag reduced;
  SharedFlag consumed;
  alignas(kCacheLine) std::atomic<std::uint32_t> gave_up;
  char reason[kReasonBytes];
  Slot slots[kSlots];
  alignas(4096) std::byte staging[kStages][kStageBytes];

  Slot& slot(std::uint64_t sequence) { return slots[sequence % kSlots]; }
};

std::int64_t SharedPeers::head_bytes() {
  return sizeof(SharedControl);
}

SharedPeers::SharedPeers(std::shared_ptr<SharedMemory> memory, std::vector<int> named_ranks,
                         int ranks_on_machine, const std::atomic<bool>& aborted)
    : memory_(std::move(memory)), named_ranks_(std::move(named_ranks)), aborted_(aborted) {
  for (int r = 0; r < memory_->world_size(); ++r)
    controls_.push_back(reinterpret_cast<SharedControl*>(memory_->at(r, 0)));
  // Spinning pays where the peer runs at the same time; about 100 us, longer than the jitter of a step.
  constexpr int kSpins = 2500;
  spins_ = usable_cores() >= ranks_on_machine ? kSpins : 0;
}

SharedControl& SharedPeers::control(int rank) const {
  return *controls_[static_cast<std::size_t>(rank)];
}

bool SharedPeers::slot_is_free(std::uint64_t sequence) {
  if (sequence < kSlots) return true;
  const auto needed = static_cast<std::uint32_t>(sequence - kSlots + 1);
  if (static_cast<std::int32_t>(completed_by_all_ - needed) >= 0) return true;
  for (int r = 0; r < world_size(); ++r) {
    if (!control(r).completed.reached(needed)) return false;
  }
  completed_by_all_ = needed;
  return true;
}

void SharedPeers::wait_for_slot(const CollectiveSignature& signature, const WaitLimit& limit) {
  if (slot_is_free(signature.sequence)) return;
  wait_for_peers([](SharedControl& peer) -> SharedFlag& { return peer.completed; },
                 static_cast<std::uint32_t>(signature.sequence - kSlots + 1), signature, limit);
}

void SharedPeers::announce(const CollectiveSignature& signature, SharedMemory::Offset place,
                           const void* payload, std::int64_t payload_bytes) {
  Slot& slot = control(rank()).slot(signature.sequence);
  slot.signature = signature;
  slot.place = place;
  if (payload != nullptr) std::memcpy(slot.payload, payload, static_cast<std::size_t>(payload_bytes));
  control(rank()).announced.raise(static_cast<std::uint32_t>(signature.sequence + 1));
}

void SharedPeers::wait_for_all(const CollectiveSignature& signature, const WaitLimit& limit) {
  wait_for_peers([](SharedControl& peer) -> SharedFlag& { return peer.announced; },
                 static_cast<std::uint32_t>(signature.sequence + 1), signature, limit);
  for (int r = 0; r < world_size(); ++r) {
    const CollectiveSignature& theirs = control(r).slot(signature.sequence).signature;
    if (!(theirs == signature)) throw mismatch(named_rank(rank()), signature, named_rank(r), theirs);
  }
}

SharedMemory::Offset SharedPeers::place(int rank, const CollectiveSignature& signature) const {
  return control(rank).slot(signature.sequence).place;
}

const std::byte* SharedPeers::payload(int rank, const CollectiveSignature& signature) const {
  return control(rank).slot(signature.sequence).payload;
}

void SharedPeers::complete(const CollectiveSignature& signature) {
  control(rank()).completed.raise(static_cast<std::uint32_t>(signature.sequence + 1));
}

void SharedPeers::meet(std::uint32_t phase, const CollectiveSignature& signature, const WaitLimit& limit) {
  control(rank()).phase.raise(phase);
  wait_for_peers([](SharedControl& peer) -> SharedFlag& { return peer.phase; }, phase, signature, limit);
}

void SharedPeers::raise_stage(Stage stage, std::uint32_t count) {
  SharedControl& mine = control(rank());
  (stage == Stage::kFilled    ? mine.filled
   : stage == Stage::kReduced ? mine.reduced
                              : mine.consumed)
      .raise(count);
}

void SharedPeers::wait_for_stage(Stage stage, std::uint32_t count, const CollectiveSignature& signature,
                                 const WaitLimit& limit) {
  wait_for_peers(
      [stage](SharedControl& peer) -> SharedFlag& {
        return stage == Stage::kFilled    ? peer.filled
               : stage == Stage::kReduced ? peer.reduced
                                          : peer.consumed;
      },
      count, signature, limit);
}

std::byte* SharedPeers::staging(int rank, std::uint32_t stage) const {
  return control(rank).staging[stage % kStages];
}

template <typename FlagOf>
void SharedPeers::wait_for_peers(FlagOf flag_of, std::uint32_t target, const CollectiveSignature& signature,
                                 const WaitLimit& limit) {
  for (int hop = 1; hop < world_size(); ++hop) {
    wait_for((rank() + hop) % world_size(), flag_of, target, signature, limit);
  }
}

template <typename FlagOf>
void SharedPeers::wait_for(int peer, FlagOf flag_of, std::uint32_t target,
                           const CollectiveSignature& signature, const WaitLimit& limit) {
  SharedFlag& flag = flag_of(control(peer));
  if (flag.reached(target)) return;
  // Adds up until the peer has come or has failed to.
  const struct Waiting {
    double& total;
    std::chrono::steady_clock::time_point begin = std::chrono::steady_clock::now();
    ~Waiting() { total += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); }
  } waiting{waited_s_};
  for (int i = 0; i < spins_; ++i) {
    if (flag.reached(target)) return;
    relax();
  }
  // Whoever keeps the peer from running may be us.
  constexpr int kYields = 20;
  for (int i = 0; i < kYields; ++i) {
    if (flag.reached(target)) return;
    sched_yield();
  }
  while (!flag.reached(target)) {
    check(peer, flag_of, target, signature, limit);
    flag.sleep(target, kSleepMs);
  }
}

template <typename FlagOf>
void SharedPeers::check(int peer, FlagOf flag_of, std::uint32_t target, const CollectiveSignature& signature,
                        const WaitLimit& limit) const {
  const std::string here = name(rank()) + ": " + signature.describe();
  for (int r = 0; r < world_size(); ++r) {
    if (r == rank() || control(r).gave_up.load(std::memory_order_acquire) == 0) continue;
    std::array<char, kReasonBytes> reason{};
    std::memcpy(reason.data(), control(r).reason, reason.size() - 1);
    throw CommError(here + " ended because " + name(r) + " gave up: " + reason.data(), named_rank(r),
                    signature.describe());
  }
  if (aborted_.load(std::memory_order_acquire))
    throw CommError(here + " was aborted", CommError::kUnknownPeer, signature.describe());
  for (const int departed : memory_->departed_ranks()) {
    // One that has done its share may go while this rank still waits for another.
    if (flag_of(control(departed)).reached(target)) continue;
    throw CommError(here + " cannot end: " + name(departed) + " is gone (" + whereabouts(departed) + ")",
                    named_rank(departed), signature.describe());
  }
  if (limit.expired()) {
    std::string others;
    for (int r = 0; r < world_size(); ++r) {
      if (r != rank() && r != peer) others += "; " + name(r) + " " + whereabouts(r);
    }
    throw CommError(here + " timed out after " +
                        std::to_string(static_cast<std::int64_t>(limit.timeout_s())) + " s, waiting for " +
                        name(peer) + ", which " + whereabouts(peer) + others,
                    named_rank(peer), signature.describe());
  }
}

// How far a peer has come, from its own counters.
std::string SharedPeers::whereabouts(int peer) const {
  SharedControl& theirs = control(peer);
  const std::uint32_t announced = theirs.announced.value();
  if (announced == 0) return "has come to no collective yet";
  const CollectiveSignature last = theirs.slot(announced - 1).signature;
  return theirs.completed.reached(announced) ? "has done " + last.describe() + " and come to no other since"
                                             : "is in " + last.describe();
}

void SharedPeers::give_up(const std::string& reason) noexcept {
  if (gave_up_.exchange(true)) return;
  SharedControl& mine = control(rank());
  std::memcpy(mine.reason, reason.data(), std::min(reason.size(), kReasonBytes - 1));
  mine.gave_up.store(1, std::memory_order_release);
  // Peers may sleep on any of these; the values stay, so they look around and find the reason.
  for (SharedFlag* flag :
       {&mine.announced, &mine.completed, &mine.phase, &mine.filled, &mine.reduced, &mine.consumed})
    flag->wake();
}

}  // namespace lockstep
