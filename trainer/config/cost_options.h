// The options about what a run costs.
#pragma once

#include <vector>

#include "trainer/config/option.h"
#include "trainer/config/train_config.h"

namespace lockstep {

// "USD", "EUR", ...
Rule currency_code();

std::vector<Option<TrainConfig>> cost_option_rows();

// Throws std::invalid_argument for options that need one another.
void check_cost_options(const TrainConfig& config);

}  // namespace lockstep
