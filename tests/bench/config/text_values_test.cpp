#include "bench/config/text_values.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

TEST(TextValues, ByteSizesAreNcclTestsPowersOf1024) {
  EXPECT_EQ(parse_byte_size("4"), 4);
  EXPECT_EQ(parse_byte_size("8K"), 8192);
  EXPECT_EQ(parse_byte_size("128M"), 134'217'728);
  EXPECT_EQ(parse_byte_size("1g"), 1'073'741'824);
  EXPECT_EQ(parse_byte_size("1024G"), std::int64_t{1} << 40);
}

TEST(TextValues, OtherSizesAreRefused) {
  for (const char* text :
       {"", "0", "-4", "M", "4 M", "4MB", "1.5K", "1025G", "99999999999999999999", "0x10"}) {
    EXPECT_THROW(parse_byte_size(text), std::invalid_argument) << text;
    EXPECT_FALSE(byte_size().accepts(std::string(text))) << text;
  }
}

TEST(TextValues, ListsAreSplitAtCommas) {
  EXPECT_EQ(split_list(""), std::vector<std::string>());
  EXPECT_EQ(split_list("gloo"), std::vector<std::string>{"gloo"});
  EXPECT_EQ(split_list("gloo,,mpi,"), (std::vector<std::string>{"gloo", "", "mpi", ""}));
}

TEST(TextValues, AListTakesKnownWordsOnce) {
  const Rule rule = list_of({"gloo", "mpi"});
  for (const char* good : {"", "gloo", "mpi,gloo"}) EXPECT_TRUE(rule.accepts(std::string(good))) << good;
  for (const char* bad : {"nccl", "gloo,gloo", "gloo,", ",", "gloo mpi", "GLOO"}) {
    EXPECT_FALSE(rule.accepts(std::string(bad))) << bad;
  }
}

TEST(TextValues, SizesArePositiveNumbers) {
  EXPECT_EQ(parse_sizes("3,64,64"), (std::vector<std::int64_t>{3, 64, 64}));
  for (const char* bad : {"", "3,", "3,0", "3,-1", "3,x", "3;4", "99999999999"}) {
    EXPECT_THROW(parse_sizes(bad), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace lockstep
