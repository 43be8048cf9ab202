// IdxDataset: grey pictures and labels in MNIST's idx format, held in memory as bytes, normalised as they are
// served.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "sampler/dataset.h"
#include "sampler/idx_file.h"

namespace lockstep {

// A pixel byte x is served as (x / 255 - mean) / std, in float32 and in this order, which gives the bits of
// Python's x.float().div(255).sub(mean).div(std).
struct PixelNormalization {
  float mean = 0.0f;
  float std = 1.0f;
};

// The mean and (population) standard deviation of x / 255 over all pixels, the same bits everywhere; a
// standard deviation of 0 (all pixels equal) is given as 1.
PixelNormalization pixel_normalization(std::span<const std::uint8_t> pixels);

// Immutable, so thread-safe. `data` is (B, 1, rows, columns) float32, `target` (B) int64 in [0, num_classes).
class IdxDataset : public Dataset {
 public:
  // `name` is for messages. `labels_file` is named in the DataError thrown if there are not as many labels as
  // images, or if a label is num_classes or more.
  IdxDataset(std::string name, IdxImages images, std::vector<std::uint8_t> labels, std::int64_t num_classes,
             PixelNormalization normalization, const std::filesystem::path& labels_file);

  std::int64_t size() const override { return images_.count; }
  DatasetShape shape() const override { return {{1, images_.rows, images_.columns}, num_classes_}; }
  // Throws std::out_of_range for an index that is not in [0, size()).
  Batch get_batch(std::span<const std::int64_t> indices) const override;
  std::string description() const override;

 private:
  std::string name_;
  IdxImages images_;
  std::vector<std::uint8_t> labels_;
  std::int64_t num_classes_;
  std::array<float, 256> value_of_;  // the normalised value of each byte
};

// What is known about a set beforehand; a folder of unknown origin has neither, and both come from its
// training split.
struct IdxSetFacts {
  std::optional<std::int64_t> num_classes;
  std::optional<PixelNormalization> normalization;
};

struct IdxTrainAndTest {
  std::shared_ptr<const IdxDataset> train;
  std::shared_ptr<const IdxDataset> test;
};

// Reads train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte
// (plain, or .gz where there is no plain file) from `folder`. Throws DataError, naming the file, for anything
// unusable.
IdxTrainAndTest open_idx_folder(const std::string& name, const std::filesystem::path& folder,
                                const IdxSetFacts& facts = {});

}  // namespace lockstep
