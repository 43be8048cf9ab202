#include "trainer/run_dir/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

namespace lockstep {
namespace {

bool write_and_sync(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written < 0) {
      return false;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return fsync(fd) == 0;
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  std::string aside = path.string() + ".XXXXXX";
  const auto fail = [&](const char* what, int error) {
    throw std::filesystem::filesystem_error(what, path, std::error_code(error, std::generic_category()));
  };
  const int fd = mkostemp(aside.data(), O_CLOEXEC);
  if (fd < 0) {
    fail("cannot be written", errno);
  }
  constexpr mode_t kReadableByAll = 0644;  // mkostemp makes it private, but others may read a run's folder
  const bool written = write_and_sync(fd, text) && fchmod(fd, kReadableByAll) == 0;
  const int write_error = errno;
  const bool closed = close(fd) == 0;
  if (!written || !closed || rename(aside.c_str(), path.c_str()) != 0) {
    const int error = written ? errno : write_error;
    unlink(aside.c_str());
    fail("cannot be written", error);
  }
}

}  // namespace lockstep
