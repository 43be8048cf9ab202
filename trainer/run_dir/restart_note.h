// RestartNote: what the launcher tells rank 0 of an attempt that follows a failed one, in its private folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace lockstep {

struct RestartNote {
  std::string reason;             // one line: who failed, when and where
  std::int64_t failed_at_ns = 0;  // CLOCK_MONOTONIC of the launcher's machine
  std::int64_t step = 0;          // steps done by the attempt that failed, as far as was seen
};

// Throws std::filesystem::filesystem_error.
void write_restart_note(const std::filesystem::path& dir, const RestartNote& note);
// Nothing where DIR is empty or has none, or it is damaged.
std::optional<RestartNote> read_restart_note(const std::filesystem::path& dir);

}  // namespace lockstep
