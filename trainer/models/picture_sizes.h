// PictureSizes: what convolutional models need to know of their input.
#pragma once

#include <cstdint>
#include <string>

#include "sampler/dataset.h"

namespace lockstep {

struct PictureSizes {
  std::int64_t channels;
  std::int64_t height;  // pixels
  std::int64_t width;   // pixels
};

// Reads (C, H, W) from shape.sample_sizes. Throws std::invalid_argument, naming `model`, if samples are no
// pictures or are smaller than `smallest_side` pixels in either direction.
PictureSizes picture_sizes(const DatasetShape& shape, const std::string& model, std::int64_t smallest_side);

// "1 channel", "3 channels".
std::string count_of(std::int64_t count, const std::string& singular, const std::string& plural);
// "(1, 28, 28)".
std::string sizes_text(const std::vector<std::int64_t>& sizes);

}  // namespace lockstep
