// Training and test samples of tokens: from files, from folders, or made up.
#pragma once

#include <filesystem>

#include "sampler/datasets.h"
#include "sampler/token_files.h"

namespace lockstep {

// A file: its last tenth (at least one sample) is for testing. A folder: all its .txt (kText) or .bin
// (kTokens) files, each kind one after the other in the order of their names; those with "val" or "test" in
// their names are for testing, or, where there are none, the last tenth of the others. Throws DataError for a
// folder without such files, for files that TokenFiles refuses, and for too few tokens.
TrainAndTest open_token_files(const std::filesystem::path& path, TokenFileKind kind,
                              const DatasetOptions& options);

// options.synthetic_samples to train on and a quarter of that to test, of options.sequence_length each.
TrainAndTest open_synthetic_tokens(const DatasetOptions& options);

}  // namespace lockstep
