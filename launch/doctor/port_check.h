// Whether one host reaches another's TCP ports, as ranks would: the ports listened on, and the tries to
// connect.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/file_descriptor.h"
#include "comm/socket_address.h"

namespace lockstep {

// Listens on a rendezvous port (29500, torchrun's, or the next that is free) and on ports at the beginning,
// in the middle and at the end of the range from which the kernel takes those of connections. Nobody need
// accept: the kernel answers by itself.
class PortListeners {
 public:
  explicit PortListeners(std::pair<int, int> ephemeral_range);
  const std::vector<int>& ports() const { return ports_; }

 private:
  std::vector<FileDescriptor> sockets_;
  std::vector<int> ports_;
};

// Where a host can be reached, as it says itself.
struct Reachable {
  std::string host;
  std::vector<SocketAddress> addresses;
  std::vector<int> ports;
};

struct PortTrial {
  std::string host;
  std::string address;        // under which it was reached; empty: under none
  std::vector<int> closed;    // ports that were not, there
  double connect_time_s = 0;  // of the slowest that was
  int mtu = 0;                // of the way there; 0: unknown
};

// Tries each of the other host's addresses, the most promising first, and all its ports at once; a second for
// each address at most.
PortTrial try_ports(const Reachable& host, const std::vector<SocketAddress>& own_addresses);

}  // namespace lockstep
