#include "sampler/synthetic_dataset.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "sampler/counter_random.h"

namespace lockstep {
namespace {

constexpr std::int64_t kBlock = 4;  // pixels on a side that share a template value
constexpr std::int64_t kLargestSample = std::int64_t{1} << 28;  // elements

// 32 random bits to the sum of two uniform 16-bit numbers: a triangle of mean 0 and variance 1 (the variance
// of the sum is 2 * (2^32 - 1) / 12, and its mean is 2^16 - 1).
float noise(std::uint32_t bits) {
  constexpr float kScale = 1.0f / 26754.28f;
  const auto sum = static_cast<std::int32_t>((bits >> 16) + (bits & 0xffff)) - 65535;
  return static_cast<float>(sum) * kScale;
}

}  // namespace

SyntheticDataset::SyntheticDataset(std::uint64_t seed, Split split, std::int64_t num_samples,
                                   std::vector<std::int64_t> sample_sizes, std::int64_t num_classes)
    : seed_(seed),
      split_(split),
      num_samples_(num_samples),
      sample_sizes_(std::move(sample_sizes)),
      num_classes_(num_classes),
      planes_(1),
      height_(1),
      width_(1) {
  if (num_samples < 1 || num_classes < 1) {
    throw std::invalid_argument("synthetic data: " + std::to_string(num_samples) + " samples of " +
                                std::to_string(num_classes) + " classes; there must be at least 1 of each");
  }
  std::int64_t elements = 1;
  for (std::size_t i = 0; i < sample_sizes_.size(); ++i) {
    const std::int64_t size = sample_sizes_[i];
    if (size < 1 || size > kLargestSample / elements) {
      throw std::invalid_argument(
          "synthetic data: size " + std::to_string(size) +
          " in one sample's shape; sizes are positive, with at most 2^28 elements in all");
    }
    elements *= size;
    const std::size_t from_end = sample_sizes_.size() - i;
    (from_end == 1 ? width_ : from_end == 2 ? height_ : planes_) *= size;
  }
}

void SyntheticDataset::write_sample(std::uint64_t noise_key, std::uint64_t template_key, float* data) const {
  const std::int64_t elements = planes_ * height_ * width_;
  for (std::int64_t i = 0; i < elements; i += 2) {
    const std::uint64_t bits = mix(noise_key + static_cast<std::uint64_t>(i / 2));
    data[i] = noise(static_cast<std::uint32_t>(bits >> 32));
    if (i + 1 < elements) data[i + 1] = noise(static_cast<std::uint32_t>(bits));
  }
  const std::int64_t strips_per_plane = (height_ - 1) / kBlock + 1;
  for (std::int64_t line = 0; line < planes_ * height_; ++line) {
    const std::int64_t strip = line / height_ * strips_per_plane + line % height_ / kBlock;
    const std::uint64_t strip_key = mix(template_key + static_cast<std::uint64_t>(strip));
    for (std::int64_t begin = 0; begin < width_; begin += kBlock) {
      const bool is_high = (mix(strip_key + static_cast<std::uint64_t>(begin / kBlock)) & 1) != 0;
      const std::int64_t end = std::min(begin + kBlock, width_);
      for (std::int64_t column = begin; column < end; ++column) data[column] += is_high ? 0.5f : -0.5f;
    }
    data += width_;
  }
}

Batch SyntheticDataset::get_batch(std::span<const std::int64_t> indices) const {
  std::vector<std::int64_t> sizes = {static_cast<std::int64_t>(indices.size())};
  sizes.insert(sizes.end(), sample_sizes_.begin(), sample_sizes_.end());
  Batch batch{.data = at::empty(sizes, at::TensorOptions().dtype(at::kFloat)),
              .target = at::empty({sizes[0]}, at::TensorOptions().dtype(at::kLong))};
  auto* data = batch.data.mutable_data_ptr<float>();
  auto* target = batch.target.mutable_data_ptr<std::int64_t>();
  const auto split = static_cast<std::uint64_t>(split_);
  for (const std::int64_t index : indices) {
    if (index < 0 || index >= num_samples_) {
      throw std::out_of_range("sample " + std::to_string(index) + " does not exist in " + description());
    }
    const auto sample = static_cast<std::uint64_t>(index);
    const std::uint64_t label =
        stream_key(seed_, kLabelStream + split, sample) % static_cast<std::uint64_t>(num_classes_);
    write_sample(stream_key(seed_, kNoiseStream + split, sample), stream_key(seed_, kTemplateStream, label),
                 data);
    data += planes_ * height_ * width_;
    *target++ = static_cast<std::int64_t>(label);
  }
  return batch;
}

std::string SyntheticDataset::description() const {
  return std::string("synthetic ") + (split_ == Split::kTrain ? "train" : "test") + " (" +
         std::to_string(num_samples_) + " samples)";
}

}  // namespace lockstep
