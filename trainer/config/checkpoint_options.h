// The options of saving: when, how many are kept, and when a run stops because nothing improves any more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config/option.h"
#include "trainer/config/train_config.h"

namespace lockstep {

// --checkpoint-interval. At each epoch's end there is a save whatever it says.
struct CheckpointInterval {
  enum class Kind { kEpoch, kSteps, kMinutes, kAuto };
  Kind kind = Kind::kEpoch;
  std::int64_t steps = 0;  // kSteps
  double minutes = 0.0;    // kMinutes
};

// "epoch", "500", "10min", "auto"; nothing for any other text.
std::optional<CheckpointInterval> parse_checkpoint_interval(const std::string& text);

// `group`: the heading in the help.
std::vector<Option<TrainConfig>> checkpoint_option_rows(const std::string& group);

// Throws std::invalid_argument for an option whose partner is missing.
void check_checkpoint_options(const TrainConfig& config);

}  // namespace lockstep
