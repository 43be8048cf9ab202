#include "launch/doctor/port_check.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLongest{
    1000};  // a connection; a dropped packet is sent again after a second

socklen_t to_socket_address(const SocketAddress& address, int port, sockaddr_storage& into) {
  std::memset(&into, 0, sizeof into);
  if (address.family == 4) {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&into);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    std::memcpy(&v4->sin_addr, address.bytes.data(), 4);
    return sizeof *v4;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&into);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(static_cast<std::uint16_t>(port));
  std::memcpy(&v6->sin6_addr, address.bytes.data(), 16);
  return sizeof *v6;
}

// On every address of this machine, of both families where there are two.
FileDescriptor listen_on(int port) {
  for (const int family : {AF_INET6, AF_INET}) {
    FileDescriptor socket_fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket_fd) continue;
    sockaddr_storage address{};
    socklen_t length = sizeof(sockaddr_in);
    if (family == AF_INET6) {
      const int both = 0;
      setsockopt(socket_fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &both, sizeof both);
      auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(static_cast<std::uint16_t>(port));
      length = sizeof *v6;
    } else {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
      v4->sin_family = AF_INET;
      v4->sin_port = htons(static_cast<std::uint16_t>(port));
    }
    if (bind(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), length) == 0 &&
        listen(socket_fd.get(), SOMAXCONN) == 0)
      return socket_fd;
    if (errno == EADDRINUSE) break;
  }
  return FileDescriptor();
}

struct Attempt {
  int port = 0;
  FileDescriptor socket;
  bool under_way = false;
  bool connected = false;
  double time_s = 0;
};

Attempt begin_attempt(const SocketAddress& address, int port) {
  Attempt attempt;
  attempt.port = port;
  attempt.socket = FileDescriptor(
      socket(address.family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!attempt.socket) return attempt;
  sockaddr_storage target{};
  const socklen_t length = to_socket_address(address, port, target);
  attempt.connected = connect(attempt.socket.get(), reinterpret_cast<sockaddr*>(&target), length) == 0;
  attempt.under_way = !attempt.connected && errno == EINPROGRESS;
  return attempt;
}

void finish_attempts(std::vector<Attempt>& attempts, Clock::time_point begin) {
  while (true) {
    std::vector<pollfd> waiting;
    std::vector<Attempt*> whose;
    for (Attempt& attempt : attempts) {
      if (!attempt.under_way) continue;
      waiting.push_back({attempt.socket.get(), POLLOUT, 0});
      whose.push_back(&attempt);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(begin + kLongest - Clock::now()).count();
    if (waiting.empty() || left <= 0) return;
    if (poll(waiting.data(), waiting.size(), static_cast<int>(left)) < 0 && errno != EINTR) return;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(waiting[i].fd, SOL_SOCKET, SO_ERROR, &error, &length);
      whose[i]->under_way = false;
      whose[i]->connected = error == 0;
      whose[i]->time_s = std::chrono::duration<double>(Clock::now() - begin).count();
    }
  }
}

int mtu_of(const Attempt& attempt, int family) {
  int mtu = 0;
  socklen_t length = sizeof mtu;
  const bool v4 = family == 4;
  return getsockopt(attempt.socket.get(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_MTU : IPV6_MTU, &mtu,
                    &length) == 0
             ? mtu
             : 0;
}

}  // namespace

PortListeners::PortListeners(std::pair<int, int> ephemeral_range) {
  constexpr int kRendezvous = 29500;
  constexpr int kTries = 100;  // others may listen already
  const auto [first, last] = ephemeral_range;
  for (const int wanted : {kRendezvous, first, first + (last - first) / 2, std::max(first, last - kTries)}) {
    for (int port = wanted; port < wanted + kTries && port <= 65535; ++port) {
      if (std::find(ports_.begin(), ports_.end(), port) != ports_.end()) continue;
      FileDescriptor socket_fd = listen_on(port);
      if (!socket_fd) continue;
      sockets_.push_back(std::move(socket_fd));
      ports_.push_back(port);
      break;
    }
  }
}

PortTrial try_ports(const Reachable& host, const std::vector<SocketAddress>& own_addresses) {
  PortTrial trial;
  trial.host = host.host;
  trial.closed = host.ports;
  for (const SocketAddress& address : by_promise(host.addresses, own_addresses)) {
    // Loopback would be this machine's own, not the other's.
    if (address.is_loopback) continue;
    std::vector<Attempt> attempts;
    const auto begin = Clock::now();
    for (const int port : host.ports) attempts.push_back(begin_attempt(address, port));
    finish_attempts(attempts, begin);
    if (std::none_of(attempts.begin(), attempts.end(), [](const Attempt& one) { return one.connected; }))
      continue;
    trial.address = to_string(address);
    trial.closed.clear();
    for (const Attempt& attempt : attempts) {
      if (!attempt.connected) {
        trial.closed.push_back(attempt.port);
        continue;
      }
      trial.connect_time_s = std::max(trial.connect_time_s, attempt.time_s);
      trial.mtu = mtu_of(attempt, address.family);
    }
    break;
  }
  return trial;
}

}  // namespace lockstep
