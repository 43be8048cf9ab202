// SharedPeers: how ranks that share memory tell each other where they are. Not for use outside comm/.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "comm/collective.h"
#include "comm/shared_memory.h"

namespace lockstep {

inline constexpr std::int64_t kInlineBytes = 16 << 10;  // travel in an announcement
inline constexpr std::int64_t kStageBytes = 256 << 10;  // of a staging buffer
inline constexpr std::uint32_t kStages = 4;             // staging buffers of each rank

struct SharedControl;

// At the head of each segment lies its rank's control block: counters that only it raises, a ring of
// announcements of collectives, and staging buffers. Ranks count collectives, stages and phases alike, so
// that "peer has reached n" is all there is to ask. Waits throw CommError, naming the peer and how far it has
// come, when `limit` is reached, when a peer has given up, and when its process is gone.
class SharedPeers {
 public:
  enum class Stage { kFilled, kReduced, kConsumed };

  // Errors name ranks by `named_ranks`. `ranks_on_machine`: those that want its cores.
  SharedPeers(std::shared_ptr<SharedMemory> memory, std::vector<int> named_ranks, int ranks_on_machine,
              const std::atomic<bool>& aborted);
  static std::int64_t head_bytes();

  int rank() const { return memory_->rank(); }
  int world_size() const { return memory_->world_size(); }
  int named_rank(int rank) const { return named_ranks_[static_cast<std::size_t>(rank)]; }
  const std::shared_ptr<SharedMemory>& memory() const { return memory_; }

  // Whether all peers are done with the collective whose slot this one would take; never blocks.
  bool slot_is_free(std::uint64_t sequence);
  void wait_for_slot(const CollectiveSignature& signature, const WaitLimit& limit);
  // Tells all ranks that this one has come to a collective, with the first bytes of its data if `payload` is
  // given.
  void announce(const CollectiveSignature& signature, SharedMemory::Offset place, const void* payload,
                std::int64_t payload_bytes);
  // Returns when all ranks have announced it. Throws if one is in another collective.
  void wait_for_all(const CollectiveSignature& signature, const WaitLimit& limit);
  // What a peer announced; valid from wait_for_all() to complete().
  SharedMemory::Offset place(int rank, const CollectiveSignature& signature) const;
  const std::byte* payload(int rank, const CollectiveSignature& signature) const;
  void complete(const CollectiveSignature& signature);

  // Returns when all ranks have come to phase `phase`.
  void meet(std::uint32_t phase, const CollectiveSignature& signature, const WaitLimit& limit);
  void raise_stage(Stage stage, std::uint32_t count);
  void wait_for_stage(Stage stage, std::uint32_t count, const CollectiveSignature& signature,
                      const WaitLimit& limit);
  std::byte* staging(int rank, std::uint32_t stage) const;

  // Seconds that this rank has waited for others so far.
  double waited_s() const { return waited_s_; }

  // Ends the peers' waits with `reason`. From any thread; the first reason stays.
  void give_up(const std::string& reason) noexcept;

 private:
  SharedControl& control(int rank) const;
  template <typename FlagOf>
  void wait_for_peers(FlagOf flag_of, std::uint32_t target, const CollectiveSignature& signature,
                      const WaitLimit& limit);
  template <typename FlagOf>
  void wait_for(int peer, FlagOf flag_of, std::uint32_t target, const CollectiveSignature& signature,
                const WaitLimit& limit);
  template <typename FlagOf>
  void check(int peer, FlagOf flag_of, std::uint32_t target, const CollectiveSignature& signature,
             const WaitLimit& limit) const;
  std::string whereabouts(int peer) const;

  std::string name(int rank) const { return "rank " + std::to_string(named_rank(rank)); }

  std::shared_ptr<SharedMemory> memory_;
  const std::vector<int> named_ranks_;
  const std::atomic<bool>& aborted_;
  std::vector<SharedControl*> controls_;
  int spins_ = 0;
  double waited_s_ = 0.0;
  std::uint32_t completed_by_all_ = 0;
  std::atomic<bool> gave_up_{false};
};

}  // namespace lockstep
