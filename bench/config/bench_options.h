// The benchmarks' option tables.
#pragma once

#include <vector>

#include "bench/config/collective_config.h"
#include "bench/config/step_config.h"
#include "trainer/config/option.h"

namespace lockstep {

const std::vector<Option<CollectiveConfig>>& collective_options(Collective collective);
const std::vector<Option<StepConfig>>& step_options();

// Throws std::invalid_argument for values that do not go together.
void check_contradictions(const CollectiveConfig& config);
void check_contradictions(const StepConfig& config);

}  // namespace lockstep
