// How a rank's process started and ended, as seen by the process beside it (rank_command.h): small files in
// the launcher's private folder, next to the ranks' own exit reports.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lockstep {

struct RankEnd {
  int rank = 0;
  int exit_code = 0;             // where `signal` is 0
  int signal = 0;                // that ended it, or 0
  std::int64_t ended_at_ns = 0;  // wall clock, for the order among hosts
  std::int64_t step = -1;        // optimizer steps that it had done; -1: it did not say
  std::string where = {};        // "in step 13"; empty: it did not say
  std::string cause = {};        // why the process beside it ended it, or saw it stand still; else empty
};

// All of these are silent where DIR is not to be seen from this host: the launcher then goes by mpirun's
// status.
void write_rank_start(const std::filesystem::path& dir, int rank) noexcept;
void write_rank_end(const std::filesystem::path& dir, const RankEnd& end) noexcept;
// A rank that stands still while it is watched, as if it ended there; taken back once it is seen to have gone
// on. Whoever is to end it may end the process beside it too, which then writes no more.
void write_rank_stop(const std::filesystem::path& dir, const RankEnd& stop) noexcept;
void remove_rank_stop(const std::filesystem::path& dir, int rank) noexcept;
// In the order in which they ended; damaged ones are skipped. One that was standing still has that as its
// cause.
std::vector<RankEnd> read_rank_ends(const std::filesystem::path& dir);

int count_rank_starts(const std::filesystem::path& dir);

}  // namespace lockstep
