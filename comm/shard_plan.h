// Who looks after which elements of a model's parameters: the shards of a sharded update (ZeRO stage 1:
// Rajbhandari et al., "ZeRO: Memory optimizations toward training trillion parameter models", 2020).
#pragma once

#include <cstdint>
#include <vector>

namespace lockstep {

// Elements [begin, end) of a parameter, in the order in which they lie in memory.
struct Shard {
  std::int64_t parameter = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size() const { return end - begin; }
  bool operator==(const Shard&) const = default;
};

// The size of a parameter, as far as the plan is concerned.
struct ParameterSize {
  std::int64_t elements = 0;
  std::int64_t element_bytes = 4;
};

// For each rank its shards.
using ShardPlan = std::vector<std::vector<Shard>>;

// Shards ordered by parameter. A large parameter is cut into world_size parts at multiples
// of 64 bytes; a small one goes whole to the rank that has the fewest bytes so far. Every element is in
// exactly one shard. Depends on nothing else, so all ranks come to the same plan, and a checkpoint needs
// none.
ShardPlan plan_shards(const std::vector<ParameterSize>& parameters, int world_size);

}  // namespace lockstep
