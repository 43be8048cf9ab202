#include "trainer/cost/append_only_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, const char* what, int error) {
  throw DataError(file.string() + ": cannot be " + what + " (" + std::strerror(error) + ")");
}

// The length of the file up to and including its last newline; -1 with errno if it cannot be read.
off_t length_of_whole_lines(int descriptor, off_t length) {
  std::array<char, 4096> block;
  while (length > 0) {
    const off_t begin = std::max<off_t>(0, length - static_cast<off_t>(block.size()));
    const ssize_t got = pread(descriptor, block.data(), static_cast<std::size_t>(length - begin), begin);
    if (got < 0 && errno == EINTR) continue;
    if (got != length - begin) return -1;
    const void* newline = memrchr(block.data(), '\n', static_cast<std::size_t>(got));
    if (newline != nullptr) return begin + (static_cast<const char*>(newline) - block.data()) + 1;
    length = begin;
  }
  return 0;
}

}  // namespace

AppendOnlyFile::AppendOnlyFile(std::filesystem::path file) : file_(std::move(file)) {
  // O_NONBLOCK: a pipe in the file's place must not block; on a file it means nothing.
  const int descriptor = open(file_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  if (descriptor < 0) fail(file_, "opened for writing", errno);
  struct stat status = {};
  int error = 0;
  off_t whole = 0;
  if (fstat(descriptor, &status) != 0) {
    error = errno;
  } else if (!S_ISREG(status.st_mode)) {
    error = EINVAL;
  } else if ((whole = length_of_whole_lines(descriptor, status.st_size)) < 0 ||
             (whole < status.st_size && ftruncate(descriptor, whole) != 0)) {
    error = errno;
  }
  if (error != 0) {
    close(descriptor);
    fail(file_, "used for appending lines", error);
  }
  descriptor_ = descriptor;
  repaired_bytes_ = static_cast<std::uint64_t>(status.st_size - whole);
}

AppendOnlyFile::~AppendOnlyFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

AppendOnlyFile::AppendOnlyFile(AppendOnlyFile&& other) noexcept
    : file_(std::move(other.file_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      repaired_bytes_(other.repaired_bytes_) {}

void AppendOnlyFile::append(std::string_view line) {
  const std::string text = std::string(line) + "\n";
  const off_t length_before = lseek(descriptor_, 0, SEEK_END);
  if (length_before < 0) fail(file_, "written", errno);
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = write(descriptor_, text.data() + done, text.size() - done);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (written == 0 || errno != EINTR) {
      const int error = written == 0 ? EIO : errno;
      // Where even this fails, the next writer's repair removes the torn line.
      if (done > 0 && ftruncate(descriptor_, length_before) != 0)
        fail(file_, "written or put right again", error);
      fail(file_, "written", error);
    }
  }
}

void AppendOnlyFile::sync() {
  if (fdatasync(descriptor_) != 0) fail(file_, "made safe on disk", errno);
}

}  // namespace lockstep
