// How a rank's process started and ended, as seen by the process beside it (rank_command.h): small files in
// the launcher's private folder, next to the ranks' own exit reports.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace lockstep {

struct RankEnd {
  int rank = 0;
  int exit_code = 0;             // where `signal` is 0
  int signal = 0;                // that ended it, or 0
  std::int64_t ended_at_ns = 0;  // wall clock, for the order among hosts
};

// All three are silent where DIR is not to be seen from this host: the launcher then goes by mpirun's status.
void write_rank_start(const std::filesystem::path& dir, int rank) noexcept;
void write_rank_end(const std::filesystem::path& dir, const RankEnd& end) noexcept;
// In the order in which they ended; damaged ones are skipped.
std::vector<RankEnd> read_rank_ends(const std::filesystem::path& dir);

int count_rank_starts(const std::filesystem::path& dir);

}  // namespace lockstep
