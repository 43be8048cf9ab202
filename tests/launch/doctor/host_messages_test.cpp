#include "launch/doctor/host_messages.h"

#include <gtest/gtest.h>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

Reachable some_host() {
  SocketAddress address;
  address.prefix_bits = 24;
  address.bytes = {10, 0, 0, 2};
  SocketAddress loopback;
  loopback.family = 6;
  loopback.prefix_bits = 128;
  loopback.is_loopback = 1;
  loopback.bytes[15] = 1;
  return {"node1", {address, loopback}, {29500, 32768}};
}

TEST(HostMessages, ReportsArriveAsTheyWere) {
  const HostReport report{"0.1.0", "580.95.05", 22809, {warning("mtu", "small", "larger")}, some_host()};
  const std::string line = to_line(report);
  EXPECT_TRUE(is_agent_line(line));
  EXPECT_FALSE(is_agent_line("Welcome to node1"));
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const HostReport read = read_report(line);
  EXPECT_EQ(read.version, "0.1.0");
  EXPECT_EQ(read.driver, "580.95.05");
  EXPECT_EQ(read.nccl, 22809);
  ASSERT_EQ(read.findings.size(), 1u);
  EXPECT_EQ(read.findings[0].remedy, "larger");
  EXPECT_EQ(read.reachable.ports, some_host().ports);
  EXPECT_EQ(read.reachable.addresses, some_host().addresses);
}

TEST(HostMessages, RequestsAndAnswersToo) {
  EXPECT_TRUE(read_request(time_request()).empty());
  const auto hosts = read_request(to_line(std::vector<Reachable>{some_host()}));
  ASSERT_EQ(hosts.size(), 1u);
  EXPECT_EQ(hosts[0].host, "node1");
  EXPECT_EQ(hosts[0].addresses, some_host().addresses);
  EXPECT_DOUBLE_EQ(read_time(to_line(1.7e9 + 0.123456)), 1.7e9 + 0.123456);
  const auto trials =
      read_trials(to_line(std::vector<PortTrial>{{"node2", "10.0.0.3", {29500}, 0.25, 1500}}));
  ASSERT_EQ(trials.size(), 1u);
  EXPECT_EQ(trials[0].host, "node2");
  EXPECT_EQ(trials[0].address, "10.0.0.3");
  EXPECT_EQ(trials[0].closed, std::vector<int>{29500});
  EXPECT_EQ(trials[0].connect_time_s, 0.25);
  EXPECT_EQ(trials[0].mtu, 1500);
}

TEST(HostMessages, DamagedOnesAreRefused) {
  for (const char* line :
       {"", "{", "[]", R"({"do":"dance"})", R"({"do":"try","hosts":[{"host":"a","ports":[],"addresses":[
          {"address":"nowhere","family":4,"prefix":8,"loopback":false}]}]})"}) {
    EXPECT_THROW(read_request(line), DataError) << line;
    EXPECT_THROW(read_report(line), DataError) << line;
    EXPECT_THROW(read_time(line), DataError) << line;
    EXPECT_THROW(read_trials(line), DataError) << line;
  }
}

}  // namespace
}  // namespace lockstep
