// Reads MNIST's idx files (http://yann.lecun.com/exdb/mnist), plain or gzip, without trusting them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lockstep {

// The pictures of one idx3-ubyte file.
struct IdxImages {
  std::int64_t count = 0;
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  std::vector<std::uint8_t> pixels;  // (count, rows, columns)
};

// What is gzip is seen from the content. Throws DataError, naming the file, if it cannot be opened, is not of
// its kind, holds no samples, ends early or goes on after its end, or if its gzip data is damaged.
IdxImages read_idx_images(const std::filesystem::path& file);
std::vector<std::uint8_t> read_idx_labels(const std::filesystem::path& file);

}  // namespace lockstep
