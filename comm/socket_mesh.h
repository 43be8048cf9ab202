// How ranks come by TCP connections to each other. Not for use outside comm/.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/file_descriptor.h"

namespace lockstep {

// Both ends are non-blocking and send at once (TCP_NODELAY).
struct SocketLink {
  FileDescriptor data;
  FileDescriptor control;
};

// A collective of all ranks of `host`. `members` are the ranks of `host`, in rising order, that are to be
// connected to each other, this one among them; or none, for a rank that only takes part in the collective.
// Returns the links by index in `members`, with an empty one for oneself.
//
// Addresses and random tokens travel over `host`; a connection is taken only if it brings the token of the
// rank that it has come to, and is answered with the token of the one that it comes from, so that a stranger
// is dropped and a wrong address is noticed. `interfaces` is local_addresses()'s. Throws CommError, on all
// ranks, where a rank cannot be reached within `timeout`.
std::vector<SocketLink> connect_sockets(Communicator& host, const std::vector<int>& members,
                                        const std::string& interfaces, std::chrono::milliseconds timeout);

}  // namespace lockstep
