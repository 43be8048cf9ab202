// Small text files that a reader sees whole or not at all.
#pragma once

#include <filesystem>
#include <string_view>

namespace lockstep {

// Writes aside in the same folder, syncs, and renames over `path`; an older file stays untouched until then.
// Throws std::filesystem::filesystem_error with the system's reason; nothing is left aside then.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

}  // namespace lockstep
