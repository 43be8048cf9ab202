// AppendOnlyFile: a text file that only grows, line by line, and survives being killed while it does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace lockstep {

// For one writer at a time (RunDirLock sees to that); not thread-safe. A line counts once its newline is
// there.
class AppendOnlyFile {
 public:
  // Opens the file or makes an empty one, and cuts off a last line without a newline: what a killed writer
  // left. Throws DataError, with the path and the system's reason, if that cannot be done.
  explicit AppendOnlyFile(std::filesystem::path file);
  ~AppendOnlyFile();
  AppendOnlyFile(AppendOnlyFile&& other) noexcept;
  AppendOnlyFile& operator=(AppendOnlyFile&&) = delete;

  // Adds `line`, which holds no newline, and a newline: all of it or, throwing DataError, nothing.
  void append(std::string_view line);
  // Blocks until everything appended would survive a loss of power; throws DataError if that cannot be
  // promised.
  void sync();

  // Bytes of the torn line that was cut off.
  std::uint64_t repaired_bytes() const { return repaired_bytes_; }

 private:
  std::filesystem::path file_;
  int descriptor_ = -1;
  std::uint64_t repaired_bytes_ = 0;
};

}  // namespace lockstep
