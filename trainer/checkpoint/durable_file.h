// Writing and checking files so that a crash, a full disk or a flipped bit is noticed. POSIX underneath.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "sampler/data_error.h"
#include "trainer/checkpoint/sha256.h"

namespace lockstep {

// The disk, the quota or the limit on files is full: a run-time failure (worth trying again elsewhere) rather
// than bad input.
class DiskFullError : public DataError {
 public:
  using DataError::DataError;
};

// What a file must be to be the one that was written.
struct FileDigest {
  std::uint64_t size_bytes = 0;
  std::string sha256;  // 64 lower-case hexadecimal digits
  bool operator==(const FileDigest&) const = default;
};

// Appends to a new file and computes its digest on the way. Throws DataError (DiskFullError where space is
// short) with the path and the system's reason. Not thread-safe.
class DurableFileWriter {
 public:
  // The file must not exist.
  explicit DurableFileWriter(std::filesystem::path path);
  ~DurableFileWriter();  // closes; a file that was not finished is worth nothing
  DurableFileWriter(const DurableFileWriter&) = delete;
  DurableFileWriter& operator=(const DurableFileWriter&) = delete;

  void write(const void* data, std::size_t size_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  // Returns when the content is on the disk (fsync).
  FileDigest finish();

 private:
  std::filesystem::path path_;
  int fd_;
  std::uint64_t size_bytes_ = 0;
  Sha256 sha256_;
};

// Reads the whole file. Throws DataError if it cannot be read.
FileDigest digest_of_file(const std::filesystem::path& path);
// Makes the names inside a folder durable. Throws DataError.
void fsync_folder(const std::filesystem::path& folder);
// rename(2). Throws DataError.
void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);
// Swaps two existing paths in one step; false where the file system cannot. Throws DataError on other
// failures.
bool exchange_paths(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace lockstep
