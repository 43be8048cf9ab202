// What options do to a model once it is made.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/train_config.h"

namespace torch::nn {
class Module;
}

namespace lockstep {

// --memory-format and --activation-checkpointing, on a model that is on its device and before anything is
// made for its parameters. Returns a line for the user for each that it has done. Throws
// std::invalid_argument for a model that has nothing for it to be done to.
std::vector<std::string> apply_model_options(const TrainConfig& config, torch::nn::Module& model);

}  // namespace lockstep
