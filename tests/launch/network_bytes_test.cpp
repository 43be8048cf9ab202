#include "launch/network_bytes.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

// /proc/net/dev: eight columns of what was received, then eight of what was sent.
constexpr const char* kFile =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo "
    "colls\n"
    "    lo:     100       1    0    0    0     0          0         0      200       2    0    0    0     "
    "0\n"
    " wire0: 1000000    1000    0    0    0     0          0         0 12345678    2000    0    0    0     "
    "0\n";

TEST(NetworkBytes, WhatWasSentIsTheNinthColumn) {
  const SentBytes expected = {{"lo", 200}, {"wire0", 12345678}};
  EXPECT_EQ(parse_sent_bytes(kFile), expected);
  EXPECT_TRUE(parse_sent_bytes("").empty());
  EXPECT_TRUE(parse_sent_bytes("eth0: 1 2 3\n").empty());
}

TEST(NetworkBytes, ThisMachineHasALoopback) {
  EXPECT_TRUE(read_sent_bytes().contains("lo"));
}

TEST(NetworkBytes, DifferencesAndSumsAreByInterface) {
  const SentBytes expected = {{"lo", 5}, {"new", 7}};
  EXPECT_EQ(sent_between({{"lo", 10}, {"gone", 3}}, {{"lo", 15}, {"new", 7}}), expected);
  SentBytes total = {{"lo", 1}};
  add_sent(total, {{"lo", 2}, {"wire0", 4}});
  const SentBytes sum = {{"lo", 3}, {"wire0", 4}};
  EXPECT_EQ(total, sum);
}

}  // namespace
}  // namespace lockstep
