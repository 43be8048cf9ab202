#include "launch/doctor/probe_source.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <system_error>

namespace lockstep {

namespace fs = std::filesystem;

std::optional<std::string> ProbeSource::text(const std::string& file) const {
  constexpr std::size_t kMostBytes = 1 << 20;
  std::error_code error;
  if (fs::is_directory(root / file, error)) return std::nullopt;
  std::ifstream stream(root / file, std::ios::binary);
  if (!stream) return std::nullopt;
  std::string read(kMostBytes, '\0');
  stream.read(read.data(), static_cast<std::streamsize>(read.size()));
  if (stream.bad()) return std::nullopt;
  read.resize(static_cast<std::size_t>(stream.gcount()));
  read.erase(read.find_last_not_of(" \t\n") + 1);
  return read;
}

std::optional<std::int64_t> ProbeSource::number(const std::string& file) const {
  const auto read = text(file);
  if (!read) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(read->data(), read->data() + read->size(), value);
  return error == std::errc() && end == read->data() + read->size() ? std::optional(value) : std::nullopt;
}

std::vector<std::string> ProbeSource::names(const std::string& folder) const {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator entry(root / folder, error), end; !error && entry != end;
       entry.increment(error))
    found.push_back(entry->path().filename().string());
  std::sort(found.begin(), found.end());
  return found;
}

bool ProbeSource::exists(const std::string& path) const {
  std::error_code error;
  return fs::exists(root / path, error);
}

std::string ProbeSource::variable(const std::string& name) const {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

std::optional<FilesystemSize> ProbeSource::size_of(const fs::path& path) {
  struct statvfs size {};
  if (statvfs(path.c_str(), &size) != 0) return std::nullopt;
  const auto block = static_cast<std::int64_t>(size.f_frsize);
  return FilesystemSize{static_cast<std::int64_t>(size.f_blocks) * block,
                        static_cast<std::int64_t>(size.f_bavail) * block};
}

std::string gigabytes(double bytes) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), bytes < 1e9 ? "%.3f GB" : "%.1f GB", bytes / 1e9);
  return text.data();
}

int count_cpus(const std::string& list) {
  int cpus = 0;
  std::istringstream ranges(list);
  for (std::string range; std::getline(ranges, range, ',');) {
    int first = 0;
    const char* end = range.data() + range.size();
    const auto [rest, error] = std::from_chars(range.data(), end, first);
    if (error != std::errc()) return 0;
    int last = first;
    if (rest != end && (*rest != '-' || std::from_chars(rest + 1, end, last).ec != std::errc())) return 0;
    if (last < first) return 0;
    cpus += last - first + 1;
  }
  return cpus;
}

}  // namespace lockstep
