// Whether a run's steps may be captured in a CUDA graph, as far as its options tell.
#pragma once

#include <string>

#include "trainer/config/train_config.h"

namespace lockstep {

// Why the steps of such a run cannot be captured, in one clause that names an option; empty if nothing speaks
// against it. `auto` of other options speaks against nothing: ask again when it has been resolved.
std::string why_not_captured(const TrainConfig& config);

// Throws std::invalid_argument for --cuda-graph on where it cannot be.
void check_cuda_graph(const TrainConfig& config);

}  // namespace lockstep
