// ProbeSource: where the probes of `lockstep doctor` look. Tests give them a folder with a proc and a sys of
// their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "launch/mpirun.h"

namespace lockstep {

struct FilesystemSize {
  std::int64_t total_bytes = 0;
  std::int64_t free_bytes = 0;
};

struct ProbeSource {
  std::filesystem::path root = "/";  // of proc, sys, dev and etc
  Environment environment = current_environment();
  // Of the file system that holds a path (under root); none: nothing is there.
  std::function<std::optional<FilesystemSize>(const std::filesystem::path&)> filesystem_size = size_of;

  // Paths without the leading slash. A file's text without the white space at its end, its first MiB at most;
  // none where it cannot be read.
  std::optional<std::string> text(const std::string& file) const;
  std::optional<std::int64_t> number(const std::string& file) const;
  // What is in a folder, sorted; empty where it cannot be read.
  std::vector<std::string> names(const std::string& folder) const;
  bool exists(const std::string& path) const;
  // Empty where it is not set.
  std::string variable(const std::string& name) const;

  static std::optional<FilesystemSize> size_of(const std::filesystem::path& path);
};

// "12.3 GB", of 10^9.
std::string gigabytes(double bytes);
// CPUs in a list such as "0-3,8"; 0 for what is none.
int count_cpus(const std::string& list);

}  // namespace lockstep
