// A checkpoint of ours as one for Python: what `lockstep export` writes.
#pragma once

#include <filesystem>

#include "trainer/checkpoint/checkpoint_manager.h"
#include "trainer/config/train_config.h"

namespace lockstep {

// A run folder (its newest checkpoint, or that of `step` where it is not negative) or a checkpoint's folder.
// Throws DataError if there is none that loads.
Checkpoint open_checkpoint(const std::filesystem::path& folder, std::int64_t step);

// The options of the run that a run folder or a checkpoint's folder belongs to. Throws DataError.
TrainConfig options_of_run(const std::filesystem::path& folder);

// Creates `to`, which must not be there. A name that ends in .safetensors gets the weights alone, any other a
// torch.save archive: {"model", "optimizer", "scheduler", "step", "epoch", "batch", "samples_seen",
// "random_states"}. Throws DataError.
void export_checkpoint(const Checkpoint& checkpoint, const TrainConfig& config,
                       const std::filesystem::path& to);

}  // namespace lockstep
