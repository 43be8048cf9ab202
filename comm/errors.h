// The error that every communicator throws when ranks cannot go on together.
#pragma once

#include <stdexcept>
#include <string>

namespace lockstep {

// A run-time failure between ranks: a peer that died, stopped or fell silent, collectives that do not match,
// or a network that failed. A run may be tried again from its last checkpoint (exit code 11). `what()` is one
// line that names this rank, the collective with its sequence number and, where known, the peer.
class CommError : public std::runtime_error {
 public:
  static constexpr int kUnknownPeer = -1;

  explicit CommError(const std::string& what, int peer = kUnknownPeer, std::string collective = {})
      : std::runtime_error(what), peer_(peer), collective_(std::move(collective)) {}

  // The rank that is missing, or kUnknownPeer.
  int peer() const noexcept { return peer_; }
  // For example "all_reduce #42 (float32[1000])"; empty outside a collective.
  const std::string& collective() const noexcept { return collective_; }

 private:
  int peer_;
  std::string collective_;
};

}  // namespace lockstep
