// meta.json: what a checkpoint folder must contain to be the one that was saved. Names no torch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "trainer/checkpoint/durable_file.h"

namespace lockstep {

// The folder format that we write, and the newest that we read.
inline constexpr std::int64_t kCheckpointFormatVersion = 1;

struct CheckpointMeta {
  std::int64_t step = 0;
  std::map<std::string, FileDigest> files;  // by name inside the folder
};

// The checkpoint was saved by a newer Lockstep: not damaged, and not to be passed over for an older one.
class NewerFormatError : public DataError {
 public:
  using DataError::DataError;
};

// Creates `path` (it must not exist) and returns when it is on the disk. Throws DataError.
void write_meta_file(const std::filesystem::path& path, const CheckpointMeta& meta);
// The content of a meta.json. Throws as read_meta_file() does, without naming the file.
CheckpointMeta parse_meta(std::string_view text);
// Throws NewerFormatError, or DataError if it is missing, damaged (it carries a checksum of itself) or
// incomplete.
CheckpointMeta read_meta_file(const std::filesystem::path& path);

}  // namespace lockstep
