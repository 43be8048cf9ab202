#include "launch/program_path.h"

#include <unistd.h>

#include <algorithm>
#include <system_error>

namespace lockstep {

namespace fs = std::filesystem;

fs::path own_program() {
  return fs::read_symlink("/proc/self/exe");
}

bool is_executable_file(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error) && access(file.c_str(), X_OK) == 0;
}

std::optional<fs::path> find_on_path(const std::string& name, const std::string& path) {
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const fs::path folder = path.substr(begin, end - begin);
    if (folder.is_absolute() && is_executable_file(folder / name)) {
      return folder / name;
    }
    begin = end + 1;
  }
  return std::nullopt;
}

}  // namespace lockstep
