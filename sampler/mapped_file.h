// MappedFile: a file's bytes without loading them, for data that may be larger than the memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace lockstep {

// Immutable, so thread-safe. The file must not be cut short while it is mapped: reading beyond its new end
// ends the process with SIGBUS.
class MappedFile {
 public:
  // Throws DataError, naming the file, if it cannot be opened, is no regular file or is empty.
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  std::filesystem::path path_;
  std::span<const std::uint8_t> bytes_;
};

}  // namespace lockstep
