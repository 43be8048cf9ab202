#include "bench/config/wire_rate.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

TEST(WireRate, IsWrittenAsTcWritesIt) {
  EXPECT_EQ(wire_bits_per_s("1gbit"), 1e9);
  EXPECT_EQ(wire_bits_per_s("25gbit"), 25e9);
  EXPECT_EQ(wire_bits_per_s("100mbit"), 1e8);
  EXPECT_EQ(wire_bits_per_s("unshaped"), 0.0);
}

TEST(WireRate, AnythingElseIsRefused) {
  for (const char* text :
       {"", "gbit", "1", "1Gbit", "0gbit", "-1gbit", "1.5gbit", "401gbit", "1gbit ", "shaped"}) {
    EXPECT_FALSE(is_wire_rate(text)) << text;
    EXPECT_THROW(wire_bits_per_s(text), std::invalid_argument) << text;
  }
}

}  // namespace
}  // namespace lockstep
