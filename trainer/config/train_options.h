// The option table of a training run, and what follows from it.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "trainer/config/option.h"
#include "trainer/config/train_config.h"

namespace lockstep {

// All options of TrainConfig, in the order of the help. A new option is a member of TrainConfig and a row
// here.
const std::vector<Option<TrainConfig>>& train_options();

// Throws std::invalid_argument if options that are possible one by one contradict each other.
void check_contradictions(const TrainConfig& config);

// Where the run leaves what it leaves: config.run_dir, or runs/<model>-<data> where that is empty. Of a path
// to data only the last part is used.
std::filesystem::path run_dir_of(const TrainConfig& config);

// Names and values of all options in which ranks must not differ, the run folder (as resolved) included, for
// the check at the start. Left out is what may rightly differ between hosts or has no say in the result: the
// number of loader threads, the progress bar and the rendezvous address.
std::vector<std::pair<std::string, std::string>> to_key_values(const TrainConfig& config);

}  // namespace lockstep
