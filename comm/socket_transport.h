// Transport over TCP connections of our own between all ranks.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/transport.h"

namespace lockstep {

struct SocketOptions {
  // Ranks of the host communicator, rising; rank i of the transport is members[i]. Empty: all of them.
  std::vector<int> members;
  // Which network interfaces, as NCCL_SOCKET_IFNAME has it ("eth,ib", "=eth0", "^docker").
  std::string interfaces;
  std::chrono::milliseconds timeout = std::chrono::minutes(10);  // of finding each other, and of close()
};

// $LOCKSTEP_SOCKET_IFNAME, or nothing.
std::string socket_interfaces_from_environment();

// A collective of all ranks of `host`, over which they find each other; null on those that are no members.
// Throws CommError where a rank cannot be reached, std::invalid_argument where an interface does not exist.
//
// The kernel's buffers keep data moving while nobody looks; a rank that waits sleeps in poll() until there is
// something to do. A peer whose process ends is noticed at once, and one that fails says why. A thread of the
// transport's own answers where this rank is.
std::unique_ptr<Transport> make_socket_transport(Communicator& host, const SocketOptions& options);

}  // namespace lockstep
