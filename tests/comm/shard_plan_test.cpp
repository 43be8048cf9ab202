#include "comm/shard_plan.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

TEST(PlanShardsTest, EveryElementIsInExactlyOneShard) {
  const std::vector<ParameterSize> parameters = {{1000003, 4}, {10, 4},   {0, 4},
                                                 {262144, 8},  {2049, 2}, {5, 8}};
  for (const int world_size : {1, 2, 3, 4, 7, 8}) {
    std::vector<std::vector<int>> owners(parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i)
      owners[i].resize(static_cast<std::size_t>(parameters[i].elements));
    for (const auto& shards : plan_shards(parameters, world_size)) {
      for (const Shard& shard : shards) {
        for (std::int64_t e = shard.begin; e < shard.end; ++e)
          ++owners[static_cast<std::size_t>(shard.parameter)][static_cast<std::size_t>(e)];
      }
    }
    for (const auto& elements : owners) {
      for (const int owner : elements) ASSERT_EQ(owner, 1);
    }
  }
}

TEST(PlanShardsTest, CutsLargeParametersAtCacheLinesAndSharesSmallOnesOut) {
  // 100,000 floats are 6,250 lines: 3,125 each. Then 100 floats go to rank 0, 80 to rank 1, 10 to rank 1.
  const auto plan = plan_shards({{100000, 4}, {100, 4}, {80, 4}, {10, 4}}, 2);
  const std::vector<Shard> first = {{0, 0, 50000}, {1, 0, 100}};
  const std::vector<Shard> second = {{0, 50000, 100000}, {2, 0, 80}, {3, 0, 10}};
  EXPECT_EQ(plan[0], first);
  EXPECT_EQ(plan[1], second);
  EXPECT_THROW(plan_shards({}, 0), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
