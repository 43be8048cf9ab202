#include "comm/shard_plan.h"

#include <algorithm>
#include <stdexcept>

#include "comm/reduction.h"

namespace lockstep {
namespace {

// Below this a part is not worth another visit.
constexpr std::int64_t kSmallestPartBytes = 4096;

}  // namespace

ShardPlan plan_shards(const std::vector<ParameterSize>& parameters, int world_size) {
  if (world_size < 1) throw std::invalid_argument("shards for no ranks");
  ShardPlan plan(static_cast<std::size_t>(world_size));
  std::vector<std::int64_t> bytes(static_cast<std::size_t>(world_size), 0);
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto& [elements, element_bytes] = parameters[i];
    const auto index = static_cast<std::int64_t>(i);
    if (elements * element_bytes < world_size * kSmallestPartBytes) {
      const auto least = std::min_element(bytes.begin(), bytes.end());
      if (elements > 0) plan[static_cast<std::size_t>(least - bytes.begin())].push_back({index, 0, elements});
      *least += elements * element_bytes;
      continue;
    }
    for (int rank = 0; rank < world_size; ++rank) {
      const Part part = part_of(elements, element_bytes, rank, world_size);
      plan[static_cast<std::size_t>(rank)].push_back({index, part.begin, part.end});
      bytes[static_cast<std::size_t>(rank)] += (part.end - part.begin) * element_bytes;
    }
  }
  return plan;
}

}  // namespace lockstep
