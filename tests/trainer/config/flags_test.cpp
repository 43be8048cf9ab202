#include "trainer/config/flags.h"

#include <gtest/gtest.h>

#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

const std::vector<FlagSpec> kSpecs = {{"batch-size"}, {"lr"}, {"run-dir"}, {"fresh", true}};

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs split(const std::vector<std::string>& arguments) {
  Pairs pairs;
  for (const Flag& flag : split_flags(arguments, kSpecs)) {
    pairs.emplace_back(flag.name, flag.value);
  }
  return pairs;
}

TEST(Flags, BothFormsAndBothKindsOfDashes) {
  EXPECT_EQ(split({"--batch-size", "8", "--lr=0.1", "--fresh"}),
            (Pairs{{"batch-size", "8"}, {"lr", "0.1"}, {"fresh", "true"}}));
  EXPECT_EQ(split({"--batch_size=8", "--run_dir", "my_run"}),
            (Pairs{{"batch-size", "8"}, {"run-dir", "my_run"}}));
  EXPECT_EQ(split({"--fresh=false"}), (Pairs{{"fresh", "false"}}));
  EXPECT_EQ(split({}), Pairs{});
}

TEST(Flags, ValuesAreLeftAsTheyAre) {
  EXPECT_EQ(split({"--lr", "-1"}), (Pairs{{"lr", "-1"}}));  // a number, though no good one
  EXPECT_EQ(split({"--run-dir=--odd_name"}), (Pairs{{"run-dir", "--odd_name"}}));
  EXPECT_EQ(split({"--run-dir", "a=b,c d"}), (Pairs{{"run-dir", "a=b,c d"}}));
  EXPECT_EQ(split({"--run-dir=a=b"}), (Pairs{{"run-dir", "a=b"}}));
  EXPECT_EQ(split({"--run-dir="}), (Pairs{{"run-dir", ""}}));
}

TEST(Flags, RefusesWithTheNearestName) {
  expect_refused([] { split({"--bach-size", "8"}); }, {"--bach-size", "--batch-size"});
  expect_refused([] { split({"--bach_size=8"}); }, {"--batch-size"});
  expect_refused([] { split({"--"}); }, {"\"--\""});
  expect_refused([] { split({"--=1"}); }, {"unknown flag"});
  expect_refused([] { split({"--a\nb"}); }, {"\"--a?b\""});
}

TEST(Flags, RefusesRepeatedMissingAndStray) {
  expect_refused([] { split({"--lr=1", "--lr", "2"}); }, {"--lr", "twice"});
  expect_refused([] { split({"--batch_size=1", "--batch-size=1"}); }, {"--batch-size", "twice"});
  expect_refused([] { split({"--lr"}); }, {"--lr needs a value"});
  expect_refused([] { split({"--run-dir", "--fresh"}); }, {"--run-dir needs a value"});
  expect_refused([] { split({"train"}); }, {"\"train\" belongs to no flag"});
  expect_refused([] { split({"--lr", "1", "2"}); }, {"\"2\" belongs to no flag"});
  expect_refused([] { split({"--fresh", "false"}); }, {"write --fresh=false"});
  expect_refused([] { split({"-b", "8"}); }, {"\"-b\" belongs to no flag"});
}

TEST(Flags, HelpIsFoundAnywhere) {
  EXPECT_TRUE(asks_for_help({"--lr", "x", "--help"}));
  EXPECT_TRUE(asks_for_help({"-h"}));
  EXPECT_FALSE(asks_for_help({"--lr", "1"}));
  EXPECT_TRUE(asks_for_version({"--version"}));
}

}  // namespace
}  // namespace lockstep
