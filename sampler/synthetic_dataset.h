// SyntheticDataset: pictures made from a seed, for tests and benchmarks that must not depend on files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "sampler/dataset.h"
#include "sampler/split.h"

namespace lockstep {

// Learnable, but not by heart: each class has a template of +0.5 and -0.5 in blocks of 4 x 4 pixels, the same
// for both splits; a sample is its class's template plus noise of mean 0 and variance 1, its class drawn
// uniformly. Every value is a function of (seed, split, index, position) alone, in integer arithmetic and
// three float operations that IEEE 754 rounds alike everywhere, so that any rank, worker and batch sees the
// same bits. Immutable, so thread-safe.
class SyntheticDataset : public Dataset {
 public:
  // `sample_sizes`: one sample of `data`, of any number of dimensions; the last two count as height and
  // width. Throws std::invalid_argument if there are no samples or classes, or if a size is not positive or
  // too large.
  SyntheticDataset(std::uint64_t seed, Split split, std::int64_t num_samples,
                   std::vector<std::int64_t> sample_sizes, std::int64_t num_classes);

  std::int64_t size() const override { return num_samples_; }
  DatasetShape shape() const override { return {sample_sizes_, num_classes_}; }
  // `data` is (B, *sample_sizes) float32, `target` (B) int64. Throws std::out_of_range for an index not in
  // [0, size()).
  Batch get_batch(std::span<const std::int64_t> indices) const override;
  std::string description() const override;

 private:
  // Writes one sample to `data`.
  void write_sample(std::uint64_t noise_key, std::uint64_t template_key, float* data) const;

  std::uint64_t seed_;
  Split split_;
  std::int64_t num_samples_;
  std::vector<std::int64_t> sample_sizes_;
  std::int64_t num_classes_;
  std::int64_t planes_, height_, width_;  // sample_sizes seen as (planes, height, width)
};

}  // namespace lockstep
