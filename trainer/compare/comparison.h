// What two things have in common, compared: losses, weights, hashes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "trainer/compare/step_hashes.h"
#include "trainer/compare/step_losses.h"
#include "trainer/compare/tensor_difference.h"
#include "trainer/config/file_commands.h"

namespace lockstep {

struct Comparison {
  std::string a, b;                      // as they were named
  std::optional<LossDifference> losses;  // none where one of them has none
  std::optional<TensorDifference> weights;
  std::optional<std::int64_t> step_a, step_b;  // of the checkpoints whose weights these are
  std::optional<HashDifference> hashes;
  std::vector<std::string> not_compared;  // what both have, but of no step in common

  bool equal() const;
};

// A run folder has losses (metrics.jsonl), weights (its newest checkpoint, of two runs the newest step that
// both have, or config.step) and perhaps hashes; a checkpoint's folder, a .safetensors file and a torch.save
// archive have weights; a .jsonl file has losses or hashes. Throws DataError for what cannot be read, or if
// they have nothing in common.
Comparison compare(const CompareConfig& config);

}  // namespace lockstep
