#include "launch/rank_end.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>

#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

constexpr const char* kStarted = "started-";
constexpr const char* kEnded = "ended-";
constexpr const char* kStopped = "stopped-";

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

// Three lines: numbers, where, cause.
void write_end(const std::filesystem::path& file, const RankEnd& end) {
  const std::string text = std::to_string(end.rank) + " " + std::to_string(end.exit_code) + " " +
                           std::to_string(end.signal) + " " + std::to_string(end.ended_at_ns) + " " +
                           std::to_string(end.step) + "\n" + end.where + "\n" + end.cause + "\n";
  write_file_atomically(file, text);
}

std::optional<RankEnd> read_end(const std::filesystem::path& path) {
  std::ifstream file(path);
  RankEnd end;
  if (!(file >> end.rank >> end.exit_code >> end.signal >> end.ended_at_ns >> end.step) || end.rank < 0) {
    return std::nullopt;
  }
  file.ignore();
  if (!std::getline(file, end.where) || !std::getline(file, end.cause)) {
    return std::nullopt;
  }
  return end;
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
    write_end(dir / (kEnded + std::to_string(end.rank)), end);
  } catch (...) {  // see the header
  }
}

void write_rank_stop(const std::filesystem::path& dir, const RankEnd& stop) noexcept {
  try {
    write_end(dir / (kStopped + std::to_string(stop.rank)), stop);
  } catch (...) {  // see the header
  }
}

void remove_rank_stop(const std::filesystem::path& dir, int rank) noexcept {
  std::error_code ignored;
  std::filesystem::remove(dir / (kStopped + std::to_string(rank)), ignored);
}

std::vector<RankEnd> read_rank_ends(const std::filesystem::path& dir) {
  std::vector<RankEnd> ends;
  for_each_file(dir, kEnded, [&](const std::filesystem::path& file) {
    if (auto end = read_end(file)) ends.push_back(std::move(*end));
  });
  for_each_file(dir, kStopped, [&](const std::filesystem::path& file) {
    const auto stop = read_end(file);
    if (!stop) return;
    const auto same =
        std::find_if(ends.begin(), ends.end(), [&](const RankEnd& end) { return end.rank == stop->rank; });
    if (same == ends.end()) {
      ends.push_back(*stop);
    } else if (same->cause.empty()) {
      *same = *stop;
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
