#include "bench/peers/tcp_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "comm/errors.h"

namespace lockstep {
namespace {

constexpr std::size_t kScratchBytes = 1 << 20;

[[noreturn]] void fail(int rank, const std::string& what) {
  throw CommError("rank " + std::to_string(rank) + ": the raw TCP stream: " + what);
}

sockaddr_in to_address(const std::string& host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, host.c_str(), &address.sin_addr);
  return address;
}

const sockaddr* as_generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// Progress on one direction; `moved` is send()'s or recv()'s result.
std::size_t progress(int rank, ssize_t moved, bool may_end) {
  if (moved > 0) return static_cast<std::size_t>(moved);
  if (moved == 0 && may_end) fail(rank, "the rank on the right has left");
  if (moved < 0 && errno != EAGAIN && errno != EINTR) fail(rank, std::strerror(errno));
  return 0;
}

}  // namespace

TcpStream::TcpStream(const BenchWorld& world)
    : rank_(world.rank()),
      timeout_ms_(static_cast<int>(std::min(world.setting().timeout_s * 1000.0, 2e9))),
      received_(kScratchBytes) {
  const std::string host = address_of_interface(world.interface());
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in own = to_address(host, 0);
  socklen_t length = sizeof(own);
  if (listener < 0 || bind(listener, as_generic(own), sizeof(own)) != 0 || listen(listener, 1) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&own), &length) != 0) {
    fail(rank_, "cannot listen on " + host + " (" + std::strerror(errno) + ")");
  }
  const auto hosts = world.gather(host);
  const auto ports = world.gather(std::to_string(ntohs(own.sin_port)));
  const auto left = static_cast<std::size_t>((rank_ + world.world_size() - 1) % world.world_size());
  to_left_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in target = to_address(hosts[left], std::stoi(ports[left]));
  if (to_left_ < 0 || connect(to_left_, as_generic(target), sizeof(target)) != 0) {
    close(listener);
    fail(rank_, "cannot reach rank " + std::to_string(left) + " at " + hosts[left] + " (" +
                    std::strerror(errno) + ")");
  }
  pollfd waiting{listener, POLLIN, 0};
  if (poll(&waiting, 1, timeout_ms_) == 1) from_right_ = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  close(listener);
  if (from_right_ < 0) fail(rank_, "the rank on the right did not connect");
  const int on = 1;
  setsockopt(to_left_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  fcntl(to_left_, F_SETFL, O_NONBLOCK);
  fcntl(from_right_, F_SETFL, O_NONBLOCK);
}

TcpStream::~TcpStream() {
  if (to_left_ >= 0) close(to_left_);
  if (from_right_ >= 0) close(from_right_);
}

void TcpStream::exchange(const char* data, std::size_t data_bytes, std::size_t bytes) {
  std::size_t sent = 0;
  std::size_t received = 0;
  while (sent < bytes || received < bytes) {
    std::size_t moved = 0;
    if (sent < bytes) {
      const std::size_t at = sent % data_bytes;
      moved += progress(
          rank_, send(to_left_, data + at, std::min(data_bytes - at, bytes - sent), MSG_NOSIGNAL), false);
      sent += moved;
    }
    if (received < bytes) {
      const std::size_t more = progress(
          rank_, recv(from_right_, received_.data(), std::min(received_.size(), bytes - received), 0), true);
      received += more;
      moved += more;
    }
    if (moved > 0) continue;
    pollfd waiting[] = {{to_left_, static_cast<short>(sent < bytes ? POLLOUT : 0), 0},
                        {from_right_, static_cast<short>(received < bytes ? POLLIN : 0), 0}};
    if (poll(waiting, 2, timeout_ms_) == 0) fail(rank_, "nothing moved within the timeout");
  }
}

}  // namespace lockstep
