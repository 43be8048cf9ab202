// What must be the same for a checkpoint to be continued at all. What a user may change on purpose (learning
// rate, threads, device) is not in it, although it changes bits.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "sampler/dataset.h"
#include "trainer/config/train_config.h"

namespace lockstep {

using Identity = std::vector<std::pair<std::string, std::string>>;

// Model, data and its size, seed, batch size, number of logical ranks and the like; kept in every checkpoint.
Identity run_identity(const TrainConfig& config, int logical_ranks, const Dataset& train);

// What decides bits, too, but may be different where a run goes on: kind of device and processor, threads,
// memory format, precision of float32 products, version of LibTorch. (Activation checkpointing decides none.)
Identity circumstances(const TrainConfig& config);
// "num threads was 1, is 2; ..." for what is in both and differs; empty if nothing is.
std::string list_differences(const Identity& saved, const Identity& current);

// Throws DataError that lists everything in which `saved` differs from `current`, and how to start anew
// instead.
void check_identity(const Identity& saved, const Identity& current);

}  // namespace lockstep
