#include "trainer/models/picture_sizes.h"

#include <stdexcept>

namespace lockstep {

std::string count_of(std::int64_t count, const std::string& singular, const std::string& plural) {
  return std::to_string(count) + " " + (count == 1 ? singular : plural);
}

std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  std::string text = "(";
  for (std::size_t i = 0; i < sizes.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(sizes[i]);
  return text + ")";
}

PictureSizes picture_sizes(const DatasetShape& shape, const std::string& model, std::int64_t smallest_side) {
  const auto& sizes = shape.sample_sizes;
  if (sizes.size() != 3 || sizes[0] < 1) {
    throw std::invalid_argument("model " + model +
                                " takes pictures (channels, height, width), but one sample is " +
                                sizes_text(sizes) + "; model mlp takes samples of any shape");
  }
  if (sizes[1] < smallest_side || sizes[2] < smallest_side) {
    throw std::invalid_argument("model " + model + " takes pictures of at least " +
                                std::to_string(smallest_side) + "x" + std::to_string(smallest_side) +
                                " pixels, but one sample is " + sizes_text(sizes));
  }
  return {sizes[0], sizes[1], sizes[2]};
}

}  // namespace lockstep
