#include "launch/rank_end.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <system_error>

#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

constexpr const char* kStarted = "started-";
constexpr const char* kEnded = "ended-";

template <class Visit>
void for_each_file(const std::filesystem::path& dir, const std::string& prefix, const Visit& visit) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(prefix) && name.find('.') == std::string::npos) {  // with a point: being written
      visit(entry.path());
    }
  }
}

}  // namespace

void write_rank_start(const std::filesystem::path& dir, int rank) noexcept {
  try {
    std::ofstream file(dir / (kStarted + std::to_string(rank)));
  } catch (...) {  // see the header
  }
}

void write_rank_end(const std::filesystem::path& dir, const RankEnd& end) noexcept {
  try {
    const std::string text = std::to_string(end.rank) + " " + std::to_string(end.exit_code) + " " +
                             std::to_string(end.signal) + " " + std::to_string(end.ended_at_ns) + "\n";
    write_file_atomically(dir / (kEnded + std::to_string(end.rank)), text);
  } catch (...) {  // see the header
  }
}

std::vector<RankEnd> read_rank_ends(const std::filesystem::path& dir) {
  std::vector<RankEnd> ends;
  for_each_file(dir, kEnded, [&](const std::filesystem::path& file) {
    RankEnd end;
    if (std::ifstream(file) >> end.rank >> end.exit_code >> end.signal >> end.ended_at_ns && end.rank >= 0) {
      ends.push_back(end);
    }
  });
  std::sort(ends.begin(), ends.end(),
            [](const auto& a, const auto& b) { return a.ended_at_ns < b.ended_at_ns; });
  return ends;
}

int count_rank_starts(const std::filesystem::path& dir) {
  int count = 0;
  for_each_file(dir, kStarted, [&](const std::filesystem::path&) { ++count; });
  return count;
}

}  // namespace lockstep
