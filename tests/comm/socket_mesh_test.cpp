#include "comm/socket_mesh.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "comm/errors.h"
#include "comm/socket_address.h"
#include "tests/comm/rank_threads.h"

namespace lockstep {
namespace {

constexpr auto kTimeout = std::chrono::seconds(20);

// The TCP ports that this process listens on: the kernel's table, by the inodes of our sockets.
std::set<int> own_listening_ports() {
  std::set<std::string> inodes;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.starts_with("socket:[")) inodes.insert(target.substr(8, target.size() - 9));
  }
  std::set<int> ports;
  for (const char* table : {"/proc/self/net/tcp", "/proc/self/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string slot, local, remote, state, skipped, inode;
      words >> slot >> local >> remote >> state;
      for (int i = 0; i < 5; ++i) words >> skipped;
      words >> inode;
      if (state == "0A" && inodes.contains(inode))
        ports.insert(std::stoi(local.substr(local.find(':') + 1), nullptr, 16));
    }
  }
  return ports;
}

FileDescriptor call(int port) {
  FileDescriptor stranger(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(stranger.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  return stranger;
}

TEST(ConnectSocketsTest, EveryPairGetsTwoConnectionsOfItsOwn) {
  testing::run_ranks(5, [](Communicator& host) {
    const auto links = connect_sockets(host, {0, 1, 2, 3, 4}, "", kTimeout);
    ASSERT_EQ(links.size(), 5U);
    for (int peer = 0; peer < 5; ++peer) {
      const SocketLink& link = links[static_cast<std::size_t>(peer)];
      EXPECT_EQ(static_cast<bool>(link.data), peer != host.rank());
      if (peer == host.rank()) continue;
      const char mine[] = {static_cast<char>('0' + host.rank()), 'd', static_cast<char>('0' + host.rank()),
                           'c'};
      EXPECT_EQ(send(link.data.get(), mine, 2, 0), 2);
      EXPECT_EQ(send(link.control.get(), mine + 2, 2, 0), 2);
    }
    host.barrier();
    for (int peer = 0; peer < 5; ++peer) {
      if (peer == host.rank()) continue;
      const SocketLink& link = links[static_cast<std::size_t>(peer)];
      char theirs[4] = {};
      EXPECT_EQ(recv(link.data.get(), theirs, 2, 0), 2);
      EXPECT_EQ(recv(link.control.get(), theirs + 2, 2, 0), 2);
      EXPECT_EQ(std::string(theirs, 4), std::to_string(peer) + "d" + std::to_string(peer) + "c");
    }
    host.barrier();  // the others' connections live until they were read
  });
}

TEST(ConnectSocketsTest, StrangersAreDropped) {
  const std::set<int> before = own_listening_ports();
  std::vector<FileDescriptor> strangers;
  testing::run_ranks(2, [&](Communicator& host) {
    if (host.rank() == 1) {
      // Rank 0 listens, and waits for this rank.
      std::set<int> ports = before;
      while (ports == before) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        ports = own_listening_ports();
      }
      for (const int port : ports) {
        if (before.contains(port)) continue;
        strangers.push_back(call(port));  // says nothing
        strangers.push_back(call(port));  // says who it is, without a token
        std::vector<char> hello(24);
        hello[16] = 1;
        EXPECT_EQ(send(strangers.back().get(), hello.data(), hello.size(), 0), 24);
      }
    }
    const auto links = connect_sockets(host, {0, 1}, "", kTimeout);
    const int peer = 1 - host.rank();
    const char mine = static_cast<char>('0' + host.rank());
    const int data = links[static_cast<std::size_t>(peer)].data.get();
    EXPECT_EQ(send(data, &mine, 1, 0), 1);
    pollfd ready{data, POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 10000), 1);
    char theirs = 0;
    EXPECT_EQ(recv(data, &theirs, 1, 0), 1);
    EXPECT_EQ(theirs, static_cast<char>('0' + peer));
    host.barrier();
  });
  ASSERT_EQ(strangers.size(), 2U);
  for (const FileDescriptor& stranger : strangers) {
    char nothing = 0;
    EXPECT_LE(recv(stranger.get(), &nothing, 1, MSG_DONTWAIT), 0);
    EXPECT_NE(errno, EAGAIN) << "a stranger is still connected";
  }
}

TEST(ConnectSocketsTest, ARankThatCannotBeReachedIsNamedOnAllRanks) {
  std::atomic<int> told = 0;
  testing::run_ranks(3, [&](Communicator& host) {
    try {
      // Rank 2 expects rank 1, which does not know of it.
      connect_sockets(host, host.rank() == 2 ? std::vector<int>{1, 2} : std::vector<int>{0, 1}, "",
                      std::chrono::seconds(2));
    } catch (const CommError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("rank 2: cannot reach rank 1 ("));
      ++told;
    }
  });
  EXPECT_EQ(told, 3);
}

TEST(SocketAddressTest, InterfacesAreChosenAsNcclDoes) {
  EXPECT_TRUE(chooses_interface("", "eth0"));
  EXPECT_TRUE(chooses_interface("ib,eth", "eth0"));
  EXPECT_FALSE(chooses_interface("=eth", "eth0"));
  EXPECT_TRUE(chooses_interface("=eth1,eth0", "eth0"));
  EXPECT_FALSE(chooses_interface("^eth,lo", "eth0"));
  EXPECT_TRUE(chooses_interface("^docker", "eth0"));
  EXPECT_TRUE(chooses_interface("^=eth", "eth0"));
}

SocketAddress address(std::array<std::uint8_t, 4> bytes, bool loopback = false) {
  SocketAddress result{4, 24, static_cast<std::uint8_t>(loopback), {}};
  std::copy(bytes.begin(), bytes.end(), result.bytes.begin());
  return result;
}

TEST(SocketAddressTest, ASharedNetworkIsTriedFirst) {
  const auto loopback = address({127, 0, 0, 1}, true);
  const auto docker = address({172, 17, 0, 1});  // every machine has it
  const auto public_one = address({8, 8, 8, 8});
  const auto near = address({10, 0, 0, 2});
  EXPECT_EQ(by_promise({loopback, docker, public_one, near}, {loopback, docker, address({10, 0, 0, 1})}),
            (std::vector<SocketAddress>{near, public_one, docker, loopback}));
  EXPECT_EQ(to_string(near), "10.0.0.2");
}

TEST(SocketAddressTest, AnUnknownInterfaceNamesTheKnownOnes) {
  try {
    local_addresses("=no-such");
    FAIL() << "no exception";
  } catch (const std::invalid_argument& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("lo (127.0.0.1)"));
  }
  EXPECT_TRUE(local_addresses("=lo").front().is_loopback);
}

}  // namespace
}  // namespace lockstep
