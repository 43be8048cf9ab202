// From a run's options to those of its data.
#pragma once

#include <cstdint>

#include "sampler/datasets.h"
#include "trainer/config/train_config.h"

namespace lockstep {

DatasetOptions dataset_options(const TrainConfig& config);

// --eval-batch-size as it stands, or what its 0 means for the model.
std::int64_t eval_batch_size(const TrainConfig& config);

}  // namespace lockstep
