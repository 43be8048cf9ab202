// The table of data sets that `--data` knows. A new one is one file plus one line in datasets.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "sampler/dataset.h"

namespace lockstep {

struct TrainAndTest {
  std::shared_ptr<const Dataset> train;
  std::shared_ptr<const Dataset> test;
};

struct DatasetOptions {
  std::uint64_t seed = 0;                 // `synthetic` draws its samples from it
  std::int64_t synthetic_samples = 4096;  // of the training split; the test split has a quarter of it
  std::vector<std::int64_t> synthetic_sizes = {1, 28, 28};
  std::int64_t synthetic_classes = 10;
  // Of tokens. Masked ones draw their samples from the seed.
  TokenTask token_task = TokenTask::kNextToken;
  std::int64_t sequence_length = 128;
  std::int64_t vocabulary_size = 0;  // 0: what the format implies (token_files.h); `synthetic-tokens`: 256
};

// `data` is
//   a known set's name: `fashion-mnist`, `mnist` and `cifar10` are looked up in LOCKSTEP_DATA/<name>, then in
//     /usr/share/datasets/<name>; `synthetic` and `synthetic-tokens` are made up;
//   `text:PATH` or `tokens:PATH`: a file or a folder of them (token_sets.h);
//   or a folder that holds CIFAR-10's binary files, or the four idx files of MNIST, plain or gzip.
// Throws std::invalid_argument for an unknown name (with the nearest known one), DataError for unusable
// files.
TrainAndTest open_dataset(const std::string& data, const DatasetOptions& options = {});

// The known sets' names; of what takes a path there is one of each kind, such as "text:PATH".
std::vector<std::string> dataset_names();

}  // namespace lockstep
