// Under which addresses a process can be reached, for comm/ and the launcher's preflight.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lockstep {

// An IPv4 or IPv6 address in network order, as it is sent between ranks of one program.
struct SocketAddress {
  std::uint8_t family = 4;       // 4 or 6
  std::uint8_t prefix_bits = 0;  // of its network
  std::uint8_t is_loopback = 0;
  std::array<std::uint8_t, 16> bytes{};  // an IPv4 address takes 4
  bool operator==(const SocketAddress&) const = default;

  bool same_network(const SocketAddress& other) const;
};

std::string to_string(const SocketAddress& address);

// The addresses of this machine's interfaces that are up, loopback last, link-local ones left out. `names`
// chooses interfaces as NCCL_SOCKET_IFNAME does: prefixes with commas ("eth,ib"), a leading = for exact names
// ("=eth0"), a leading ^ for all but those ("^docker"); empty for all. Throws std::invalid_argument, naming
// what there is, where nothing is left.
std::vector<SocketAddress> local_addresses(const std::string& names);

// Whether `names`, as above, chooses the interface `name`.
bool chooses_interface(const std::string& names, const std::string& name);

// A peer's addresses, the most promising first: on a network that we are on, too; elsewhere; ours as well
// (right if the peer is on this machine); loopback.
std::vector<SocketAddress> by_promise(std::vector<SocketAddress> theirs,
                                      const std::vector<SocketAddress>& ours);

}  // namespace lockstep
