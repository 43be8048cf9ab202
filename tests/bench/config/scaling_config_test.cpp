#include "bench/config/scaling_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(ScalingConfig, TextsBecomeLists) {
  const ScalingConfig config =
      parse_scaling_command({"--ranks", "4,1,2", "--links", "unshaped,25gbit", "--model", "mlp,resnet18"});
  EXPECT_THAT(ranks_of(config), ElementsAre(1, 2, 4));
  EXPECT_THAT(links_of(config), ElementsAre("unshaped", "25gbit"));
  const auto workloads = workloads_of(config);
  ASSERT_EQ(workloads.size(), 2U);
  EXPECT_EQ(workloads[0].name, "mlp-512");
  EXPECT_EQ(workloads[1].name, "resnet18");
}

TEST(ScalingConfig, WhatCannotBeIsNamed) {
  for (const auto& [arguments, text] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--ranks", "1,0"}, "--ranks"},
           {{"--ranks", "2,2"}, "--ranks"},
           {{"--ranks", "1,300"}, "--ranks"},
           {{"--links", "wifi"}, "--links"},
           {{"--links", ""}, "--links"},
           {{"--links", "1gbit,1gbit"}, "--links"},
           {{"--model", "vgg"}, "--model"},
           {{"--model", "mlp,mlp-512"}, "twice"},
           {{"--mode", "sideways"}, "--mode"},
           {{"--mode", "strong", "--ranks", "1,3"}, "not divided by 3 ranks"},
           {{"--compare", "horovod"}, "--compare"},
           {{"--max-bytes", "64K"}, "--max-bytes"},
           {{"--price-table", "prices.csv"}, "--gpu-type"},
           {{"--price-per-gpu-hour", "-1"}, "--price-per-gpu-hour"},
           {{"--rank", "2"}, "--ranks"}}) {
    try {
      parse_scaling_command(arguments);
      ADD_FAILURE() << arguments.front();
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  }
}

TEST(ScalingConfig, HelpListsTheOptions) {
  EXPECT_THAT(scaling_help(), HasSubstr("--links NAMES"));
  EXPECT_THAT(scaling_help(), HasSubstr("--price-per-gpu-hour X"));
}

}  // namespace
}  // namespace lockstep
