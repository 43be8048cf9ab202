#include "trainer/config/estimate_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(EstimateConfig, TakesTrainsOptionsAndItsOwn) {
  const EstimateConfig config =
      parse_estimate_command({"--model", "resnet18", "--nproc-per-node", "8", "--nnodes=2", "--efficiency",
                              "0.5", "--batch_size", "32", "--json"});
  EXPECT_EQ(config.train.model, "resnet18");
  EXPECT_EQ(config.train.batch_size, 32);
  EXPECT_EQ(config.nproc_per_node, 8);
  EXPECT_EQ(config.nnodes, 2);
  EXPECT_EQ(config.efficiency, 0.5);
  EXPECT_TRUE(config.json);
}

// A run has to say which row of the table is meant; here all are.
TEST(EstimateConfig, ATableNeedsNoGpuType) {
  const EstimateConfig config =
      parse_estimate_command({"--price-table", "x.csv", "--region", "eu", "--spot"});
  EXPECT_EQ(config.train.price_table, "x.csv");
  EXPECT_EQ(config.train.region, "eu");
  EXPECT_TRUE(config.train.spot);
}

TEST(EstimateConfig, RefusesWhatCannotBe) {
  expect_refused(
      [] {
        parse_estimate_command({"--efficiency", "0"});
      },
      {"--efficiency", "above 0, at most 1"});
  expect_refused([] { parse_estimate_command({"--efficiency", "1.5"}); }, {"--efficiency"});
  expect_refused([] { parse_estimate_command({"--nproc-per-node", "0"}); }, {"--nproc-per-node"});
  expect_refused([] { parse_estimate_command({"--efficincy", "0.5"}); }, {"did you mean --efficiency?"});
  expect_refused([] { parse_estimate_command({"--lr", "-1"}); }, {"--lr"});
}

TEST(EstimateConfig, HelpHasBothKindsOfOptions) {
  EXPECT_THAT(estimate_help(), HasSubstr("--efficiency SHARE"));
  EXPECT_THAT(estimate_help(), HasSubstr("--batch-size N"));
}

}  // namespace
}  // namespace lockstep
