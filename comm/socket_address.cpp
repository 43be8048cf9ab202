#include "comm/socket_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <sstream>
#include <stdexcept>

namespace lockstep {
namespace {

std::uint8_t count_bits(const std::uint8_t* mask, std::size_t bytes) {
  int bits = 0;
  for (std::size_t i = 0; i < bytes; ++i) bits += std::popcount(static_cast<unsigned>(mask[i]));
  return static_cast<std::uint8_t>(bits);
}

// False for what is no address to be reached under.
bool read_address(const ifaddrs& entry, SocketAddress& into) {
  if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_UP) == 0) return false;
  into.is_loopback = (entry.ifa_flags & IFF_LOOPBACK) != 0;
  if (entry.ifa_addr->sa_family == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, entry.ifa_addr, sizeof address);
    into.family = 4;
    std::memcpy(into.bytes.data(), &address.sin_addr, 4);
    if (entry.ifa_netmask == nullptr) return true;
    std::memcpy(&address, entry.ifa_netmask, sizeof address);
    into.prefix_bits = count_bits(reinterpret_cast<const std::uint8_t*>(&address.sin_addr), 4);
    return true;
  }
  if (entry.ifa_addr->sa_family != AF_INET6) return false;
  sockaddr_in6 address{};
  std::memcpy(&address, entry.ifa_addr, sizeof address);
  if (IN6_IS_ADDR_LINKLOCAL(&address.sin6_addr)) return false;
  into.family = 6;
  std::memcpy(into.bytes.data(), &address.sin6_addr, 16);
  if (entry.ifa_netmask == nullptr) return true;
  std::memcpy(&address, entry.ifa_netmask, sizeof address);
  into.prefix_bits = count_bits(reinterpret_cast<const std::uint8_t*>(&address.sin6_addr), 16);
  return true;
}

}  // namespace

bool SocketAddress::same_network(const SocketAddress& other) const {
  if (family != other.family || prefix_bits != other.prefix_bits) return false;
  for (int bit = 0; bit < prefix_bits; ++bit) {
    const auto byte = static_cast<std::size_t>(bit / 8);
    const int mask = 0x80 >> (bit % 8);
    if ((bytes[byte] & mask) != (other.bytes[byte] & mask)) return false;
  }
  return true;
}

std::string to_string(const SocketAddress& address) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(address.family == 4 ? AF_INET : AF_INET6, address.bytes.data(), text, sizeof text);
  return text;
}

bool chooses_interface(const std::string& names, const std::string& name) {
  if (names.empty()) return true;
  const bool all_but = names.front() == '^';
  std::size_t skip = all_but ? 1 : 0;
  const bool exact = names.size() > skip && names[skip] == '=';
  if (exact) ++skip;
  std::istringstream list(names.substr(skip));
  std::string item;
  bool listed = false;
  while (std::getline(list, item, ','))
    listed = listed || (!item.empty() && (exact ? name == item : name.starts_with(item)));
  return listed != all_but;
}

std::vector<SocketAddress> local_addresses(const std::string& names) {
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0)
    throw std::invalid_argument("this machine's network interfaces cannot be listed: " +
                                std::string(std::strerror(errno)));
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> frees_them(all, freeifaddrs);
  std::vector<SocketAddress> addresses;
  std::string known;
  for (const ifaddrs* entry = all; entry != nullptr; entry = entry->ifa_next) {
    SocketAddress address;
    if (!read_address(*entry, address)) continue;
    known += (known.empty() ? "" : ", ") + std::string(entry->ifa_name) + " (" + to_string(address) + ")";
    if (chooses_interface(names, entry->ifa_name)) addresses.push_back(address);
  }
  if (addresses.empty()) {
    throw std::invalid_argument("LOCKSTEP_SOCKET_IFNAME \"" + names +
                                "\" chooses no network interface of this machine; it has " +
                                (known.empty() ? "none with an address" : known));
  }
  std::stable_sort(addresses.begin(), addresses.end(), [](const SocketAddress& a, const SocketAddress& b) {
    return a.is_loopback < b.is_loopback;
  });
  return addresses;
}

std::vector<SocketAddress> by_promise(std::vector<SocketAddress> theirs,
                                      const std::vector<SocketAddress>& ours) {
  const auto demerits = [&](const SocketAddress& address) {
    if (address.is_loopback) return 3;
    bool shared = false;
    for (const SocketAddress& own : ours) {
      if (own.family == address.family && own.bytes == address.bytes) return 2;
      shared = shared || own.same_network(address);
    }
    return shared ? 0 : 1;
  };
  std::stable_sort(theirs.begin(), theirs.end(),
                   [&](const SocketAddress& a, const SocketAddress& b) { return demerits(a) < demerits(b); });
  return theirs;
}

}  // namespace lockstep
