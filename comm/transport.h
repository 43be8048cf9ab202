// Transport: non-blocking messages between ranks, the ground that the ring collectives stand on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

// Where a peer is, by its own account.
struct PeerPosition {
  int rank = 0;                   // as errors name it
  bool answered = false;          // else it is stopped, cut off, or gone
  std::uint64_t collectives = 0;  // that it has come to
  std::string text;               // "is in all_reduce #3 (Float[5])"
};

// Messages between two ranks arrive in the order in which they were sent. All calls come from one thread.
// Buffers must stay untouched until test() has returned true.
class Transport {
 public:
  // Names a message under way; valid until test() returned true for it.
  using Request = int;
  static constexpr Request kNone = -1;

  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int world_size() const = 0;
  // How errors name a rank of this transport, where it is one of several in a larger world.
  virtual int named_rank(int rank) const { return rank; }
  virtual Request send(const void* data, std::size_t bytes, int peer) = 0;
  // Throws CommError from test() if the message that arrives is not exactly `bytes` long.
  virtual Request receive(void* data, std::size_t bytes, int peer) = 0;
  // True once the message is sent or received. Throws CommError if it cannot be.
  virtual bool test(Request request) = 0;
  // For a caller that waits for messages none of which test() has called done, `turns` times in succession:
  // returns when there may be something new, or after a moment in which to look at the clock.
  virtual void rest(int turns);

  // What the peers are to be told when they ask where this rank is: it has come to `collectives` collectives.
  virtual void report_position(std::uint64_t /*collectives*/, const std::string& /*text*/) {}
  // Where the peers are, once they were asked; nothing where that cannot be done. Takes a second at most.
  virtual std::vector<PeerPosition> ask_positions() { return {}; }

  // Leaves in good order, with every message completed on every rank. A transport that is dropped without it
  // just stops.
  virtual void close() = 0;
  // This rank has failed and will drop the transport: tells the peers why, as far as that can be done without
  // waiting.
  virtual void fail(const std::string& reason) = 0;
};

}  // namespace lockstep
