#include "launch/doctor/port_check.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <set>

namespace lockstep {
namespace {

// 127.0.0.1 as a host's ordinary address: a network of this machine's own that is always there.
SocketAddress this_machine() {
  SocketAddress address;
  address.prefix_bits = 8;
  address.bytes = {127, 0, 0, 1};
  return address;
}

// A port that somebody holds, so that nobody else can, and that refuses connections.
struct HeldPort {
  FileDescriptor socket{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  int port = 0;
  HeldPort() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (bind(socket.get(), generic, length) == 0 && getsockname(socket.get(), generic, &length) == 0)
      port = ntohs(address.sin_port);
  }
};

TEST(PortListeners, ListenInAllPartsOfTheRange) {
  const PortListeners listeners({40000, 50000});
  const auto& ports = listeners.ports();
  ASSERT_EQ(ports.size(), 4u);
  EXPECT_GE(ports[0], 29500);
  EXPECT_LT(ports[0], 29600);
  EXPECT_GE(ports[1], 40000);
  EXPECT_GE(ports[2], 45000);
  EXPECT_GE(ports[3], 49900);
  // Two agents on one machine do not meet.
  const PortListeners others({40000, 50000});
  std::set<int> all(ports.begin(), ports.end());
  all.insert(others.ports().begin(), others.ports().end());
  EXPECT_EQ(all.size(), 8u);
}

TEST(TryPorts, SaysWhichAreClosed) {
  const PortListeners listeners({40000, 50000});
  const HeldPort held;
  ASSERT_GT(held.port, 0);
  Reachable host{"there", {this_machine()}, listeners.ports()};
  PortTrial trial = try_ports(host, {});
  EXPECT_EQ(trial.host, "there");
  EXPECT_EQ(trial.address, "127.0.0.1");
  EXPECT_TRUE(trial.closed.empty());
  EXPECT_GT(trial.mtu, 0);
  host.ports.push_back(held.port);
  trial = try_ports(host, {});
  EXPECT_EQ(trial.address, "127.0.0.1");
  EXPECT_EQ(trial.closed, std::vector<int>{held.port});
  trial = try_ports({"there", {this_machine()}, {held.port}}, {});
  EXPECT_EQ(trial.address, "");
  EXPECT_EQ(trial.closed, std::vector<int>{held.port});
}

TEST(TryPorts, LeavesLoopbackOut) {
  const PortListeners listeners({40000, 50000});
  SocketAddress loopback = this_machine();
  loopback.is_loopback = 1;
  EXPECT_EQ(try_ports({"there", {loopback}, listeners.ports()}, {}).address, "");
  EXPECT_EQ(try_ports({"there", {}, listeners.ports()}, {}).address, "");
}

}  // namespace
}  // namespace lockstep
