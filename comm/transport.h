// Transport: non-blocking messages between ranks, the ground that the ring collectives stand on.
#pragma once

#include <cstddef>
#include <string>

namespace lockstep {

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
  virtual Request send(const void* data, std::size_t bytes, int peer) = 0;
  // Throws CommError from test() if the message that arrives is not exactly `bytes` long.
  virtual Request receive(void* data, std::size_t bytes, int peer) = 0;
  // Makes progress; true once the message is sent or received. Throws CommError if it cannot be.
  virtual bool test(Request request) = 0;
  // Leaves in good order, with every message completed on every rank. A transport that is dropped without it
  // just stops.
  virtual void close() = 0;
  // This rank has failed and will drop the transport: tells the peers why, as far as that can be done without
  // waiting.
  virtual void fail(const std::string& reason) = 0;
};

}  // namespace lockstep
