#include "sampler/idx_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

constexpr const char* kFilesOfAFolder =
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte";

std::filesystem::path find_file(const std::filesystem::path& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    const std::filesystem::path file = folder / (name + ending);
    std::error_code unreadable;  // counts as missing; the message says what was looked for
    if (std::filesystem::exists(file, unreadable)) return file;
  }
  throw DataError(folder.string() + ": " + name + " is missing; such a folder holds " + kFilesOfAFolder +
                  ", each as it is or with .gz");
}

}  // namespace

PixelNormalization pixel_normalization(std::span<const std::uint8_t> pixels) {
  // Counting first keeps the sums exact up to their last step, whatever the number of pixels.
  std::array<std::uint64_t, 256> counts = {};
  for (const std::uint8_t pixel : pixels) ++counts[pixel];
  const auto total = static_cast<double>(pixels.size());
  double mean = 0.0;
  for (std::size_t value = 0; value < counts.size(); ++value) {
    mean += static_cast<double>(counts[value]) / total * (static_cast<double>(value) / 255.0);
  }
  double variance = 0.0;
  for (std::size_t value = 0; value < counts.size(); ++value) {
    const double deviation = static_cast<double>(value) / 255.0 - mean;
    variance += static_cast<double>(counts[value]) / total * deviation * deviation;
  }
  const bool varies = std::count(counts.begin(), counts.end(), 0u) < 255;
  return {static_cast<float>(mean), varies ? static_cast<float>(std::sqrt(variance)) : 1.0f};
}

IdxDataset::IdxDataset(std::string name, IdxImages images, std::vector<std::uint8_t> labels,
                       std::int64_t num_classes, PixelNormalization normalization,
                       const std::filesystem::path& labels_file)
    : name_(std::move(name)),
      images_(std::move(images)),
      labels_(std::move(labels)),
      num_classes_(num_classes) {
  if (static_cast<std::int64_t>(labels_.size()) != images_.count) {
    throw DataError(labels_file.string() + ": holds " + std::to_string(labels_.size()) + " labels for " +
                    std::to_string(images_.count) + " images; there must be one for each");
  }
  const auto beyond =
      std::find_if(labels_.begin(), labels_.end(), [num_classes](int label) { return label >= num_classes; });
  if (beyond != labels_.end()) {
    throw DataError(labels_file.string() + ": label " + std::to_string(*beyond) + " of sample " +
                    std::to_string(beyond - labels_.begin()) + " is out of range; labels are 0 to " +
                    std::to_string(num_classes - 1));
  }
  for (std::size_t value = 0; value < value_of_.size(); ++value) {
    value_of_[value] = (static_cast<float>(value) / 255.0f - normalization.mean) / normalization.std;
  }
}

Batch IdxDataset::get_batch(std::span<const std::int64_t> indices) const {
  const auto count = static_cast<std::int64_t>(indices.size());
  const auto pixels_per_image = static_cast<std::size_t>(images_.rows * images_.columns);
  Batch batch{
      .data = at::empty({count, 1, images_.rows, images_.columns}, at::TensorOptions().dtype(at::kFloat)),
      .target = at::empty({count}, at::TensorOptions().dtype(at::kLong))};
  auto* data = batch.data.mutable_data_ptr<float>();
  auto* target = batch.target.mutable_data_ptr<std::int64_t>();
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= size()) {
      throw std::out_of_range("sample " + std::to_string(index) + " does not exist in " + description());
    }
    const std::uint8_t* pixel = images_.pixels.data() + static_cast<std::size_t>(index) * pixels_per_image;
    data = std::transform(pixel, pixel + pixels_per_image, data,
                          [this](std::uint8_t x) { return value_of_[x]; });
    *target++ = labels_[static_cast<std::size_t>(index)];
  }
  return batch;
}

std::string IdxDataset::description() const {
  return name_ + " (" + std::to_string(size()) + " samples)";
}

IdxTrainAndTest open_idx_folder(const std::string& name, const std::filesystem::path& folder,
                                const IdxSetFacts& facts) {
  // All four are looked for before the first is read, so that a missing one is reported at once.
  const auto train_images_file = find_file(folder, "train-images-idx3-ubyte");
  const auto train_labels_file = find_file(folder, "train-labels-idx1-ubyte");
  const auto test_images_file = find_file(folder, "t10k-images-idx3-ubyte");
  const auto test_labels_file = find_file(folder, "t10k-labels-idx1-ubyte");

  IdxImages train_images = read_idx_images(train_images_file);
  std::vector<std::uint8_t> train_labels = read_idx_labels(train_labels_file);
  IdxImages test_images = read_idx_images(test_images_file);
  std::vector<std::uint8_t> test_labels = read_idx_labels(test_labels_file);
  if (test_images.rows != train_images.rows || test_images.columns != train_images.columns) {
    const auto size = [](const IdxImages& images) {
      return std::to_string(images.rows) + "x" + std::to_string(images.columns);
    };
    throw DataError(test_images_file.string() + ": its pictures are " + size(test_images) + ", those of " +
                    train_images_file.filename().string() + " are " + size(train_images) +
                    "; both must have the same size");
  }
  const std::int64_t num_classes = facts.num_classes.value_or(
      std::int64_t{*std::max_element(train_labels.begin(), train_labels.end())} + 1);
  const PixelNormalization normalization =
      facts.normalization ? *facts.normalization : pixel_normalization(train_images.pixels);
  return {std::make_shared<IdxDataset>(name + " train", std::move(train_images), std::move(train_labels),
                                       num_classes, normalization, train_labels_file),
          std::make_shared<IdxDataset>(name + " test", std::move(test_images), std::move(test_labels),
                                       num_classes, normalization, test_labels_file)};
}

}  // namespace lockstep
