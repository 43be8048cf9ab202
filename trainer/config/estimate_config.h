// The command line of `lockstep estimate`: a training run's, and what is asked about it.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/train_config.h"

namespace lockstep {

struct EstimateConfig {
  TrainConfig train;
  int nproc_per_node = 1;
  int nnodes = 1;
  double efficiency = 0.4;  // share of a GPU's peak that training attains
  bool json = false;
};

// `arguments` without the command's name. Throws std::invalid_argument and DataError as parse_command_line
// does.
EstimateConfig parse_estimate_command(const std::vector<std::string>& arguments);

std::string estimate_help();

}  // namespace lockstep
