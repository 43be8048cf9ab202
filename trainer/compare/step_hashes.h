// hashes.jsonl, which --record-hashes and python/lockstep_hashes.py write: where two runs part. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lockstep {

// One line. Tensors in the order in which the line names them; hashes by rank where ranks have their own.
struct StepHashes {
  std::vector<std::string> inputs;
  std::vector<std::pair<std::string, std::vector<std::string>>> gradients;
  std::vector<std::pair<std::string, std::string>> reduced;
  std::vector<std::pair<std::string, std::string>> weights;
};

// By step; the last of several lines of one step holds. Throws DataError naming the line that cannot be read,
// but for a last one without an end.
std::map<std::int64_t, StepHashes> read_hashes(const std::filesystem::path& file);

// The first place, in the order in which a step comes about.
struct HashDifference {
  std::int64_t steps = 0;  // that both have
  std::int64_t only_in_a = 0, only_in_b = 0;
  std::optional<std::int64_t> step;     // the first that differs
  std::string stage;                    // "inputs", "gradients", "reduced gradients" or "weights"
  std::string what;                     // "rank 1", "net.0.weight of rank 0", "net.0.weight"
  std::int64_t different_in_stage = 0;  // hashes of it in that step
  std::int64_t in_stage = 0;

  bool equal() const { return !step; }
};

// Throws DataError if the two are of other ranks or parameters.
HashDifference compare_hashes(const std::map<std::int64_t, StepHashes>& a,
                              const std::map<std::int64_t, StepHashes>& b);

}  // namespace lockstep
