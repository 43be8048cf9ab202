// One engine runs all collectives: a collective is two lists of segments, those that this rank sends to the
// left and those that it receives from the right, in order. A segment is sent on as soon as it has arrived,
// so that the ring is a pipeline and latency is paid once.
#include "comm/ring.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>

#include "comm/errors.h"
#include "comm/fold.h"
#include "comm/reduction.h"
#include "comm/ring_tree.h"
#include "comm/ring_wait.h"

namespace lockstep {
namespace {

// The ring is full only when a segment has gone round; sixteen are under way to cover a poll's sleep.
constexpr std::int64_t kSegmentBytes = 512 << 10;
constexpr std::size_t kSegmentsInFlight = 16;
// What everybody sends to everybody at most, rather than in as many hops as there are ranks.
constexpr std::int64_t kSmallBytes = 8 << 10;
constexpr std::int64_t kSmallTotalBytes = 64 << 10;
constexpr int kFewParticipants = 32;

// What neighbours compare before data moves.
struct Header {
  std::uint64_t sequence;
  std::uint32_t kind;
  std::uint32_t op;
  std::int32_t dtype;
  std::int32_t root;
  std::int64_t count;
  std::int64_t order;
  std::int64_t rows;
  bool operator==(const Header&) const = default;
};

Header to_header(const CollectiveSignature& s) {
  return {s.sequence,
          static_cast<std::uint32_t>(s.kind),
          static_cast<std::uint32_t>(s.op),
          static_cast<std::int32_t>(s.dtype),
          s.root,
          s.count,
          static_cast<std::int64_t>(s.order),
          s.rows};
}

CollectiveSignature from_header(const Header& h) {
  return {h.sequence,
          static_cast<CollectiveKind>(h.kind),
          static_cast<ReduceOp>(h.op),
          static_cast<at::ScalarType>(h.dtype),
          h.root,
          h.count,
          static_cast<ReductionOrder>(h.order),
          h.rows};
}

class RingRun {
 public:
  RingRun(Transport& transport, const CollectiveSignature& signature, const RingBuffers& buffers,
          const WaitLimit& limit)
      : transport_(transport),
        signature_(signature),
        buffers_(buffers),
        wait_(transport, signature, limit),
        here_(transport.rank()),
        participants_(transport.world_size()),
        left_((here_ + participants_ - 1) % participants_),
        right_((here_ + 1) % participants_),
        element_bytes_(static_cast<std::int64_t>(c10::elementSize(signature.dtype))),
        sums_(signature, participants_, here_, buffers.tensors, buffers.result) {}

  std::int64_t run() {
    if (participants_ == 1) return 0;
    if (is_small()) {
      exchange();
      return bytes_sent_;
    }
    const Header mine = to_header(signature_);
    const auto sent = transport_.send(&mine, sizeof mine, left_);
    if (reduces() && signature_.order == ReductionOrder::kTree) {
      wait_.wait_for(transport_.receive(&theirs_, sizeof theirs_, right_), right_);
      check_header(theirs_, right_);
      header_checked_ = true;
      bytes_sent_ += reduce_tree_chunks(transport_, signature_, buffers_, sums_, wait_);
      if (signature_.kind == CollectiveKind::kAllReduce) tell_result(sums_.superchunk(here_));
    }
    plan();
    run_plan();
    wait_.wait_for(sent, left_);
    return bytes_sent_;
  }

 private:
  // What is done to a segment before it is sent, or after it was received.
  enum class Action { kNone, kBegin, kBeginFirstChunk, kAdd, kFinish, kResult };

  struct Segment {
    ByteRange range;
    Action action = Action::kNone;
    std::size_t needs_received = 0;  // how many segments must have been received before this one is sent
  };

  struct Message {
    Transport::Request request;
    Segment segment;
    std::size_t scratch = 0;
  };

  bool reduces() const {
    return signature_.kind == CollectiveKind::kAllReduce || signature_.kind == CollectiveKind::kReduceScatter;
  }

  std::int64_t given_bytes() const {
    return signature_.count * element_bytes_ * static_cast<std::int64_t>(buffers_.tensors.size());
  }

  bool is_small() const {
    if (signature_.kind == CollectiveKind::kBarrier) return participants_ <= kFewParticipants;
    return signature_.kind == CollectiveKind::kAllReduce && given_bytes() <= kSmallBytes &&
           given_bytes() * (participants_ - 1) <= kSmallTotalBytes;
  }

  // Everybody sends everything to everybody and adds up for itself: one hop.
  void exchange() {
    const Header mine = to_header(signature_);
    const std::int64_t bytes = given_bytes();
    std::vector<char> all(static_cast<std::size_t>(bytes * participants_));
    char* const own = all.data() + bytes * here_;
    for (std::size_t k = 0; k < buffers_.tensors.size(); ++k) {
      const auto each = static_cast<std::size_t>(signature_.count * element_bytes_);
      if (each > 0) std::memcpy(own + k * each, buffers_.tensors[k], each);
    }
    std::vector<Header> headers(static_cast<std::size_t>(participants_));
    std::vector<std::pair<Transport::Request, int>> sends;
    std::vector<std::pair<Transport::Request, int>> receives;
    for (int hop = 1; hop < participants_; ++hop) {
      const int peer = (here_ + participants_ - hop) % participants_;
      sends.emplace_back(transport_.send(&mine, sizeof mine, peer), peer);
      if (bytes > 0) sends.emplace_back(transport_.send(own, static_cast<std::size_t>(bytes), peer), peer);
      bytes_sent_ += bytes;
    }
    for (int hop = 1; hop < participants_; ++hop) {
      const int peer = (here_ + hop) % participants_;
      Header& theirs = headers[static_cast<std::size_t>(peer)];
      receives.emplace_back(transport_.receive(&theirs, sizeof theirs, peer), peer);
    }
    for (auto& [message, peer] : receives) {
      wait_.wait_for(message, peer);
      check_header(headers[static_cast<std::size_t>(peer)], peer);
      if (bytes > 0)
        message = transport_.receive(all.data() + bytes * peer, static_cast<std::size_t>(bytes), peer);
    }
    // A transport may complete a send no sooner than it is received, and a receive only if it is asked for.
    for (const auto& [message, peer] : receives) {
      if (bytes > 0) wait_.wait_for(message, peer);
    }
    for (const auto& [message, peer] : sends) wait_.wait_for(message, peer);
    if (signature_.kind == CollectiveKind::kAllReduce) add_up_all(all);
  }

  void add_up_all(const std::vector<char>& all) {
    const auto ranks = participants_ * static_cast<int>(buffers_.tensors.size());
    std::vector<const void*> inputs;
    for (int r = 0; r < ranks; ++r) inputs.push_back(all.data() + r * signature_.count * element_bytes_);
    fold_ranks({&buffers_.result, 1}, inputs, 0, signature_.count,
               ring_chunks(signature_.count, element_bytes_, ranks),
               {signature_.dtype, signature_.op, signature_.order, 1.0});
    tell_result({0, signature_.count * element_bytes_});
  }

  void tell_result(ByteRange range) const {
    if (buffers_.on_result && range.size() > 0) buffers_.on_result(range);
  }

  void check_header(const Header& theirs, int peer) const {
    if (to_header(signature_) == theirs) return;
    throw mismatch(transport_.named_rank(here_), signature_, transport_.named_rank(peer),
                   from_header(theirs));
  }

  std::vector<ByteRange> cut(const ByteRange& range) const {
    const std::int64_t longest =
        std::max<std::int64_t>(kSegmentBytes / element_bytes_ * element_bytes_, element_bytes_);
    std::vector<ByteRange> segments;
    for (std::int64_t begin = range.begin; begin < range.end; begin += longest)
      segments.push_back({begin, std::min(range.end, begin + longest)});
    return segments;
  }

  // A superchunk's segments: those of its first chunk, then those of the others.
  std::vector<ByteRange> first_segments(int participant) const { return cut(sums_.first_chunk(participant)); }
  std::vector<ByteRange> other_segments(int participant) const {
    return cut({sums_.first_chunk(participant).end, sums_.superchunk(participant).end});
  }

  void plan() {
    switch (signature_.kind) {
      case CollectiveKind::kBroadcast:
        return plan_broadcast();
      case CollectiveKind::kBarrier:
        return plan_barrier();
      case CollectiveKind::kSendReceive:
        return plan_send_receive();
      default:
        break;
    }
    const bool reduces_in_ring = reduces() && signature_.order != ReductionOrder::kTree;
    if (reduces_in_ring) plan_reduction();
    if (signature_.kind != CollectiveKind::kReduceScatter) plan_gathering(reduces_in_ring);
  }

  // In step s this rank passes on superchunk here+s and adds its own share to superchunk here+1+s; after the
  // last step its own is complete. comm/ring_sums.h says where sums begin and end.
  void plan_reduction() {
    for (const ByteRange& range : other_segments(here_)) to_send_.push_back({range, Action::kBegin});
    std::size_t before = 0;  // index of the first segment received in the step before
    for (const ByteRange& range : other_segments(here_ + 1)) to_receive_.push_back({range, Action::kAdd});
    for (int step = 1; step < participants_; ++step) {
      std::size_t needs = before;
      before = to_receive_.size();
      for (const ByteRange& range : first_segments(here_ + step)) {
        if (step == 1) {
          to_send_.push_back({range, Action::kBeginFirstChunk});
        } else {
          to_send_.push_back({range, Action::kNone, ++needs});
        }
      }
      for (const ByteRange& range : other_segments(here_ + step))
        to_send_.push_back({range, Action::kNone, ++needs});
      plan_receives(here_ + 1 + step, step == participants_ - 1 ? Action::kFinish : Action::kAdd);
    }
  }

  // In step s this rank passes on superchunk here+s, which in the first step is its own.
  void plan_gathering(bool follows_reduction) {
    const auto own = first_segments(here_).size() + other_segments(here_).size();
    std::size_t needs = follows_reduction ? to_receive_.size() - own : 0;
    for (int step = 0; step < participants_ - 1; ++step) {
      const bool at_once = step == 0 && !follows_reduction;
      for (const auto& segments : {first_segments(here_ + step), other_segments(here_ + step)}) {
        for (const ByteRange& range : segments)
          to_send_.push_back({range, Action::kNone, at_once ? 0 : ++needs});
      }
      plan_receives(here_ + 1 + step, Action::kResult);
    }
  }

  void plan_receives(int participant, Action action) {
    for (const auto& segments : {first_segments(participant), other_segments(participant)}) {
      for (const ByteRange& range : segments) to_receive_.push_back({range, action});
    }
  }

  // A chain from the root leftwards round the ring; the root's right neighbour is its end.
  void plan_broadcast() {
    const bool is_root = here_ == signature_.root;
    for (const ByteRange& range : cut({0, signature_.count * element_bytes_})) {
      if (!is_root) to_receive_.push_back({range, Action::kResult});
      if (is_root || left_ != signature_.root)
        to_send_.push_back({range, Action::kNone, is_root ? 0 : to_receive_.size()});
    }
  }

  void plan_send_receive() {
    for (const ByteRange& range : cut({0, signature_.count * element_bytes_})) {
      to_send_.push_back({range});
      to_receive_.push_back({range});
    }
  }

  // W-1 times: tell the left neighbour, hear from the right one. After s rounds, s neighbours to the right
  // are known to have arrived; after W-1 all are. The result is one byte per direction.
  void plan_barrier() {
    for (int step = 0; step < participants_ - 1; ++step) {
      to_send_.push_back({{0, 1}, Action::kNone, to_receive_.size()});
      to_receive_.push_back({{1, 2}, Action::kNone});
    }
  }

  // What is passed on comes to be in the result; what is not leaves that alone.
  const char* sent_from() const {
    const bool passed_on = signature_.kind != CollectiveKind::kSendReceive;
    return static_cast<const char*>(passed_on ? buffers_.result : buffers_.tensors.front());
  }

  void prepare(const Segment& segment) const {
    if (segment.action == Action::kBegin) sums_.begin(segment.range);
    if (segment.action == Action::kBeginFirstChunk) sums_.begin_first_chunk(segment.range);
  }

  static bool goes_to_scratch(const Segment& segment) {
    return segment.action == Action::kAdd || segment.action == Action::kFinish;
  }

  void take(const Message& message, const std::vector<char>& scratch) const {
    const Segment& segment = message.segment;
    if (segment.action == Action::kAdd) sums_.add(segment.range, scratch.data());
    if (segment.action == Action::kFinish) sums_.finish(segment.range, scratch.data());
    const bool is_result =
        segment.action == Action::kResult ||
        (segment.action == Action::kFinish && signature_.kind == CollectiveKind::kAllReduce);
    if (is_result) tell_result(segment.range);
  }

  void post_receives() {
    while (next_receive_ < to_receive_.size() && receiving_.size() < kSegmentsInFlight) {
      const Segment& segment = to_receive_[next_receive_];
      const std::size_t slot = next_receive_ % kSegmentsInFlight;
      char* into = static_cast<char*>(buffers_.result) + segment.range.begin;
      if (goes_to_scratch(segment)) {
        scratch_[slot].resize(static_cast<std::size_t>(segment.range.size()));
        into = scratch_[slot].data();
      }
      const auto bytes = static_cast<std::size_t>(segment.range.size());
      receiving_.push_back({transport_.receive(into, bytes, right_), segment, slot});
      ++next_receive_;
    }
  }

  bool post_sends() {
    bool moved = false;
    while (next_send_ < to_send_.size() && sending_.size() < kSegmentsInFlight &&
           received_ >= to_send_[next_send_].needs_received) {
      const Segment& segment = to_send_[next_send_];
      prepare(segment);
      const auto bytes = static_cast<std::size_t>(segment.range.size());
      sending_.push_back({transport_.send(sent_from() + segment.range.begin, bytes, left_), segment});
      bytes_sent_ += segment.range.size();
      ++next_send_;
      moved = true;
    }
    return moved;
  }

  // The neighbour's header is compared before any of its data is taken, but our own data need not wait for
  // it.
  void run_plan() {
    const auto header =
        header_checked_ ? Transport::kNone : transport_.receive(&theirs_, sizeof theirs_, right_);
    while (!header_checked_ || received_ < to_receive_.size() || next_send_ < to_send_.size() ||
           !sending_.empty()) {
      bool moved = false;
      if (!header_checked_ && transport_.test(header)) {
        check_header(theirs_, right_);
        header_checked_ = true;
        moved = true;
      }
      if (header_checked_) post_receives();
      moved = post_sends() || moved;
      if (!receiving_.empty() && transport_.test(receiving_.front().request)) {
        const Message message = receiving_.front();
        receiving_.pop_front();
        take(message, scratch_[message.scratch]);
        ++received_;
        moved = true;
      }
      if (!sending_.empty() && transport_.test(sending_.front().request)) {
        sending_.pop_front();
        moved = true;
      }
      if (moved) {
        wait_.moved();
      } else {
        wait_.rest(header_checked_ && receiving_.empty() ? left_ : right_);
      }
    }
  }

  Transport& transport_;
  const CollectiveSignature& signature_;
  const RingBuffers& buffers_;
  RingWait wait_;
  const int here_;
  const int participants_;
  const int left_;
  const int right_;
  const std::int64_t element_bytes_;
  const RingSums sums_;
  Header theirs_{};
  bool header_checked_ = false;
  std::int64_t bytes_sent_ = 0;

  std::vector<Segment> to_send_;
  std::vector<Segment> to_receive_;
  std::size_t next_send_ = 0;
  std::size_t next_receive_ = 0;
  std::size_t received_ = 0;
  std::deque<Message> sending_;
  std::deque<Message> receiving_;
  std::vector<std::vector<char>> scratch_{kSegmentsInFlight};
};

}  // namespace

std::int64_t run_ring_collective(Transport& transport, const CollectiveSignature& signature,
                                 const RingBuffers& buffers, const WaitLimit& limit) {
  return RingRun(transport, signature, buffers, limit).run();
}

}  // namespace lockstep
