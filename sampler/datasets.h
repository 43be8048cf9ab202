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
};

// `data` is a known set's name (`fashion-mnist`, `mnist`, `synthetic`) or a folder that holds the four idx
// files of MNIST, plain or gzip. A name is looked up in LOCKSTEP_DATA/<name>, then in
// /usr/share/datasets/<name>. Throws std::invalid_argument for an unknown name (with the nearest known one),
// DataError for unusable files.
TrainAndTest open_dataset(const std::string& data, const DatasetOptions& options = {});

std::vector<std::string> dataset_names();

}  // namespace lockstep
