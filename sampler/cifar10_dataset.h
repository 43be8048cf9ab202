// Cifar10Dataset: colour pictures in the binary version of CIFAR-10
// (https://www.cs.toronto.edu/~kriz/cifar.html).
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "sampler/dataset.h"
#include "sampler/mapped_file.h"

namespace lockstep {

// Files of records of 3073 bytes: a label, then 32 x 32 red, green and blue bytes. A byte x of channel c is
// served as (x / 255 - mean[c]) / std[c], in float32 and in this order, as torchvision's ToTensor and
// Normalize do with the means (0.4914, 0.4822, 0.4465) and deviations (0.2470, 0.2435, 0.2616) of the
// training pictures. The files are mapped, not loaded. Immutable, so thread-safe.
class Cifar10Dataset final : public Dataset {
 public:
  // `name` is for messages. Throws DataError, naming the file (and the record), if one cannot be opened, is
  // not made of whole records, or has a label above 9.
  Cifar10Dataset(std::string name, const std::vector<std::filesystem::path>& files);

  std::int64_t size() const override;
  DatasetShape shape() const override { return {{3, 32, 32}, 10}; }
  // `data` (B, 3, 32, 32) float32, `target` (B) int64 in [0, 10). Throws std::out_of_range for an index not
  // in [0, size()).
  Batch get_batch(std::span<const std::int64_t> indices) const override;
  std::string description() const override;

 private:
  struct File {
    std::unique_ptr<MappedFile> mapped;
    std::int64_t end;  // its samples, and those of the files before it
  };

  std::string name_;
  std::vector<File> files_;
  std::array<std::array<float, 256>, 3> value_of_;  // the normalised value of each byte, by channel
};

struct Cifar10TrainAndTest {
  std::shared_ptr<const Cifar10Dataset> train;
  std::shared_ptr<const Cifar10Dataset> test;
};

// Whether `folder` looks like CIFAR-10: it has a data_batch_1.bin, itself or in cifar-10-batches-bin.
bool is_cifar10_folder(const std::filesystem::path& folder);

// The training samples of data_batch_1.bin to data_batch_5.bin (those that are there, in this order) and the
// test samples of test_batch.bin, in `folder` or in its cifar-10-batches-bin. Throws DataError.
Cifar10TrainAndTest open_cifar10_folder(const std::string& name, const std::filesystem::path& folder);

}  // namespace lockstep
