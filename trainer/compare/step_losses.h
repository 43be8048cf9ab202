// The losses of two runs, step by step. No LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

namespace lockstep {

using StepLosses = std::map<std::int64_t, double>;  // by step

// Of a run's metrics.jsonl (its train lines; of a step that several attempts did, the last one's), or of a
// log with a {"step": 1, "loss": 2.3} a line, where other keys and lines without a "loss" are passed over. A
// loss that is not a number may be null. Throws DataError naming the line that cannot be read; a last line
// without an end is passed over, since it may still be written.
StepLosses read_losses(const std::filesystem::path& file);

struct LossPair {
  std::int64_t step = 0;
  double a = 0.0;
  double b = 0.0;
};

struct LossDifference {
  std::int64_t steps = 0;            // that both have
  std::int64_t steps_different = 0;  // in any bit
  std::optional<LossPair> first;
  std::optional<LossPair> largest;  // by absolute difference; NaN comes before all
  std::int64_t only_in_a = 0, only_in_b = 0;

  bool equal() const { return steps_different == 0; }
};

LossDifference compare_losses(const StepLosses& a, const StepLosses& b);

}  // namespace lockstep
