// One engine runs all five collectives: a collective is a list of steps in which this rank sends one chunk to
// the left and receives one from the right, reduced into place or copied into place. Chunks travel in
// segments, and a segment is sent on as soon as it has arrived, so that the ring is a pipeline and latency is
// paid once.
#include "comm/ring.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "comm/errors.h"
#include "comm/fold.h"
#include "comm/reduction.h"

namespace lockstep {
namespace {

// The ring is full only when a segment has gone round; sixteen are under way to cover a poll's sleep.
constexpr std::int64_t kSegmentBytes = 512 << 10;
constexpr int kSegmentsInFlight = 16;
constexpr std::int64_t kDirectSegmentBytes = 1 << 20;  // of each rank's chunk, order kTree

// Polls for a moment, then sleeps between polls, because on a CPU the backward pass needs the core more than
// we do. Sleeping rather than yielding: a thread that yields to a busy one gets the core back after its whole
// time slice, one that sleeps as soon as it wakes.
class Backoff {
 public:
  void reset() { polls_ = 0; }
  void pause() {
    ++polls_;
    if (polls_ < kEagerPolls) return;
    std::this_thread::sleep_for(std::chrono::microseconds(polls_ < kShortSleeps ? 20 : 100));
  }

 private:
  static constexpr int kEagerPolls = 50;
  static constexpr int kShortSleeps = 2000;
  int polls_ = 0;
};

// What neighbours compare before data moves.
struct Header {
  std::uint64_t sequence;
  std::uint32_t kind;
  std::uint32_t op;
  std::int32_t dtype;
  std::int32_t root;
  std::int64_t count;
  std::int64_t order;
  bool operator==(const Header&) const = default;
};

Header to_header(const CollectiveSignature& s) {
  return {s.sequence,
          static_cast<std::uint32_t>(s.kind),
          static_cast<std::uint32_t>(s.op),
          static_cast<std::int32_t>(s.dtype),
          s.root,
          s.count,
          static_cast<std::int64_t>(s.order)};
}

CollectiveSignature from_header(const Header& h) {
  return {h.sequence,
          static_cast<CollectiveKind>(h.kind),
          static_cast<ReduceOp>(h.op),
          static_cast<at::ScalarType>(h.dtype),
          h.root,
          h.count,
          static_cast<ReductionOrder>(h.order)};
}

// A range of bytes of the buffer.
struct Range {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

struct Step {
  Range send;           // to the left neighbour; empty: nothing
  Range receive;        // from the right neighbour; empty: nothing
  bool reduce = false;  // receive into scratch and reduce, else receive into place
  // The send may go as soon as the same segment of the step before has been received (else: at once).
  bool send_follows_receive = false;
};

class RingRun {
 public:
  RingRun(Transport& transport, const CollectiveSignature& signature, void* data, const WaitLimit& limit)
      : transport_(transport),
        signature_(signature),
        data_(static_cast<char*>(data)),
        limit_(limit),
        rank_(transport.rank()),
        world_size_(transport.world_size()),
        left_((rank_ + world_size_ - 1) % world_size_),
        right_((rank_ + 1) % world_size_),
        element_bytes_(static_cast<std::int64_t>(c10::elementSize(signature.dtype))) {}

  std::int64_t run() {
    if (world_size_ == 1) return 0;
    const Header mine = to_header(signature_);
    const auto sent = transport_.send(&mine, sizeof mine, left_);
    if (reduces() && signature_.order == ReductionOrder::kTree) {
      const auto header = transport_.receive(&theirs_, sizeof theirs_, right_);
      wait_for(header, right_);
      check_header(theirs_);
      header_checked_ = true;
      reduce_directly();
    }
    run_steps(steps());
    wait_for(sent, left_);
    return bytes_sent_;
  }

 private:
  struct Message {
    Transport::Request request;
    std::size_t step;
    Range range;
    std::size_t scratch = 0;
  };

  // Chunks of an all-reduce as Gloo cuts them; equal blocks for the collectives that speak of blocks.
  Range chunk(int index) const {
    index = (index % world_size_ + world_size_) % world_size_;
    if (signature_.kind == CollectiveKind::kAllReduce) {
      const RingChunks chunks = ring_chunks(signature_.count, element_bytes_, world_size_);
      return {chunks.begin(index) * element_bytes_, chunks.end(index) * element_bytes_};
    }
    const std::int64_t block = signature_.count / world_size_ * element_bytes_;
    return {index * block, (index + 1) * block};
  }

  bool reduces() const {
    return signature_.kind == CollectiveKind::kAllReduce || signature_.kind == CollectiveKind::kReduceScatter;
  }

  // In reduce step s this rank passes on chunk rank+1+s, whose sum began at rank (rank+s), and adds its own
  // share to chunk rank+2+s; after W-1 steps chunk `rank` is complete here. In gather step s it passes on
  // chunk rank+s.
  std::vector<Step> steps() const {
    std::vector<Step> steps;
    const bool gathers =
        signature_.kind == CollectiveKind::kAllReduce || signature_.kind == CollectiveKind::kAllGather;
    const bool reduces_in_ring = reduces() && signature_.order != ReductionOrder::kTree;
    if (reduces_in_ring) {
      for (int s = 0; s < world_size_ - 1; ++s) {
        steps.push_back({chunk(rank_ + 1 + s), chunk(rank_ + 2 + s), true, s > 0});
      }
    }
    if (gathers) {
      for (int s = 0; s < world_size_ - 1; ++s) {
        steps.push_back({chunk(rank_ + s), chunk(rank_ + s + 1), false, reduces_in_ring || s > 0});
      }
    }
    if (signature_.kind == CollectiveKind::kBroadcast) add_broadcast_steps(steps);
    if (signature_.kind == CollectiveKind::kBarrier) add_barrier_steps(steps);
    return steps;
  }

  // Order kTree: every rank sends chunk c straight to rank c, which adds all of them at once. The same bytes
  // as the ring's first half. A segment of every chunk at a time; the next is under way while one is added.
  void reduce_directly() {
    const std::int64_t longest = chunk(0).size();
    const std::int64_t rounds = (longest + kDirectSegmentBytes - 1) / kDirectSegmentBytes;
    std::array<Round, 2> under_way;
    if (rounds > 0) post_round(0, under_way[0]);
    for (std::int64_t j = 0; j < rounds; ++j) {
      if (j + 1 < rounds) post_round(j + 1, under_way[static_cast<std::size_t>((j + 1) % 2)]);
      finish_round(j, under_way[static_cast<std::size_t>(j % 2)]);
    }
  }

  struct Round {
    std::vector<std::vector<char>> pieces;  // by rank, of this rank's chunk
    std::vector<std::pair<Transport::Request, int>> messages;
  };

  Range segment_of(const Range& range, std::int64_t j) const {
    const std::int64_t begin = std::min(range.end, range.begin + j * kDirectSegmentBytes);
    return {begin, std::min(range.end, begin + kDirectSegmentBytes)};
  }

  void post_round(std::int64_t j, Round& round) {
    round.pieces.resize(static_cast<std::size_t>(world_size_));
    const Range mine = segment_of(chunk(rank_), j);
    for (int hop = 1; hop < world_size_; ++hop) {
      const int peer = (rank_ + hop) % world_size_;
      if (mine.size() > 0) {
        auto& piece = round.pieces[static_cast<std::size_t>(peer)];
        piece.resize(static_cast<std::size_t>(mine.size()));
        round.messages.emplace_back(transport_.receive(piece.data(), piece.size(), peer), peer);
      }
    }
    for (int hop = 1; hop < world_size_; ++hop) {
      const int peer = (rank_ + world_size_ - hop) % world_size_;
      const Range theirs = segment_of(chunk(peer), j);
      if (theirs.size() == 0) continue;
      round.messages.emplace_back(
          transport_.send(data_ + theirs.begin, static_cast<std::size_t>(theirs.size()), peer), peer);
      bytes_sent_ += theirs.size();
    }
  }

  void finish_round(std::int64_t j, Round& round) {
    for (const auto& [message, peer] : round.messages) wait_for(message, peer);
    round.messages.clear();
    const Range mine = segment_of(chunk(rank_), j);
    std::vector<const void*> inputs;
    for (int r = 0; r < world_size_; ++r)
      inputs.push_back(r == rank_ ? data_ + mine.begin : round.pieces[static_cast<std::size_t>(r)].data());
    void* into = data_ + mine.begin;
    fold_inputs({&into, 1}, inputs, 0, mine.size() / element_bytes_,
                {signature_.dtype, signature_.op, ReductionOrder::kTree, 1.0});
  }

  // A chain from the root leftwards round the ring; the root's right neighbour is its end.
  void add_broadcast_steps(std::vector<Step>& steps) const {
    const Range all{0, signature_.count * element_bytes_};
    const bool is_root = rank_ == signature_.root;
    const bool is_last = left_ == signature_.root;
    if (is_root) {
      steps.push_back({all, {}, false, false});
      return;
    }
    steps.push_back({{}, all, false, false});
    if (!is_last) steps.push_back({all, {}, false, true});
  }

  // W-1 times: tell the left neighbour, hear from the right one. After s rounds, s neighbours to the right
  // are known to have arrived; after W-1 all are. `data` is one byte per step and direction.
  void add_barrier_steps(std::vector<Step>& steps) const {
    for (int s = 0; s < world_size_ - 1; ++s) steps.push_back({{0, 1}, {1, 2}, false, s > 0});
  }

  void check_header(const Header& theirs) const {
    if (to_header(signature_) == theirs) return;
    throw mismatch(rank_, signature_, right_, from_header(theirs));
  }

  void wait_for(Transport::Request request, int peer) {
    Backoff backoff;
    while (!transport_.test(request)) {
      check_limit(peer);
      backoff.pause();
    }
  }

  void check_limit(int peer) const {
    if (limit_.aborted()) {
      throw CommError("rank " + std::to_string(rank_) + ": " + signature_.describe() + " was aborted",
                      CommError::kUnknownPeer, signature_.describe());
    }
    if (limit_.expired()) {
      throw CommError("rank " + std::to_string(rank_) + ": " + signature_.describe() + " timed out after " +
                          std::to_string(static_cast<std::int64_t>(limit_.timeout_s())) +
                          " s, waiting for rank " + std::to_string(peer) +
                          (world_size_ > 2 ? " (or a rank that it waits for)" : ""),
                      peer, signature_.describe());
    }
  }

  std::int64_t segment_bytes() const {
    return std::max<std::int64_t>(kSegmentBytes / element_bytes_ * element_bytes_, element_bytes_);
  }

  std::vector<Range> segments(const Range& range) const {
    std::vector<Range> result;
    for (std::int64_t begin = range.begin; begin < range.end; begin += segment_bytes()) {
      result.push_back({begin, std::min(range.end, begin + segment_bytes())});
    }
    return result;
  }

  // Posts and completes segments in order. Receives of step s and sends of step s+1 cover the same chunk, so
  // "segment j of step s has been received" is what allows "segment j of step s+1 is sent".
  void run_steps(const std::vector<Step>& steps) {
    struct Piece {
      std::size_t step;
      Range range;
      std::size_t needs_received;  // how many pieces must have been received before this one may be sent
    };
    std::vector<Piece> to_send;
    std::vector<Piece> to_receive;
    std::size_t received_before = 0;  // pieces received in steps before the current one's predecessor
    std::size_t previous_begin = 0;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      std::size_t index = 0;
      for (const Range& range : segments(steps[s].send)) {
        ++index;
        to_send.push_back({s, range, steps[s].send_follows_receive ? previous_begin + index : 0});
      }
      previous_begin = received_before;
      for (const Range& range : segments(steps[s].receive)) {
        to_receive.push_back({s, range, 0});
        ++received_before;
      }
    }

    std::vector<std::vector<char>> scratch(kSegmentsInFlight);
    std::deque<Message> sending;
    std::deque<Message> receiving;
    std::size_t next_send = 0;
    std::size_t next_receive = 0;
    std::size_t received = 0;
    Backoff backoff;
    // The neighbour's header is compared before any of its data is taken, but our own data need not wait for
    // it.
    const auto header =
        header_checked_ ? Transport::kNone : transport_.receive(&theirs_, sizeof theirs_, right_);
    while (!header_checked_ || received < to_receive.size() || next_send < to_send.size() ||
           !sending.empty()) {
      bool progressed = false;
      if (!header_checked_ && transport_.test(header)) {
        check_header(theirs_);
        header_checked_ = true;
        progressed = true;
      }
      while (header_checked_ && next_receive < to_receive.size() && receiving.size() < kSegmentsInFlight) {
        const Piece& piece = to_receive[next_receive];
        const std::size_t slot = next_receive % kSegmentsInFlight;
        char* into = data_ + piece.range.begin;
        if (steps[piece.step].reduce) {
          scratch[slot].resize(static_cast<std::size_t>(piece.range.size()));
          into = scratch[slot].data();
        }
        const auto bytes = static_cast<std::size_t>(piece.range.size());
        receiving.push_back({transport_.receive(into, bytes, right_), piece.step, piece.range, slot});
        ++next_receive;
        progressed = true;
      }
      while (next_send < to_send.size() && sending.size() < kSegmentsInFlight &&
             received >= to_send[next_send].needs_received) {
        const Piece& piece = to_send[next_send];
        const auto bytes = static_cast<std::size_t>(piece.range.size());
        sending.push_back(
            {transport_.send(data_ + piece.range.begin, bytes, left_), piece.step, piece.range});
        bytes_sent_ += piece.range.size();
        ++next_send;
        progressed = true;
      }
      if (!receiving.empty() && transport_.test(receiving.front().request)) {
        const Message message = receiving.front();
        receiving.pop_front();
        if (steps[message.step].reduce) {
          void* into = data_ + message.range.begin;
          const std::array<const void*, 2> summands{into, scratch[message.scratch].data()};
          fold_inputs({&into, 1}, summands, 0, message.range.size() / element_bytes_,
                      {signature_.dtype, signature_.op, ReductionOrder::kPytorch, 1.0});
        }
        ++received;
        progressed = true;
      }
      if (!sending.empty() && transport_.test(sending.front().request)) {
        sending.pop_front();
        progressed = true;
      }
      if (progressed) {
        backoff.reset();
      } else {
        check_limit(header_checked_ && receiving.empty() ? left_ : right_);
        backoff.pause();
      }
    }
  }

  Transport& transport_;
  const CollectiveSignature& signature_;
  char* data_;
  const WaitLimit& limit_;
  const int rank_;
  const int world_size_;
  const int left_;
  const int right_;
  const std::int64_t element_bytes_;
  Header theirs_{};
  bool header_checked_ = false;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace

std::int64_t run_ring_collective(Transport& transport, const CollectiveSignature& signature, void* data,
                                 const WaitLimit& limit) {
  return RingRun(transport, signature, data, limit).run();
}

}  // namespace lockstep
