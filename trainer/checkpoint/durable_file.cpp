#include "trainer/checkpoint/durable_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <vector>

namespace lockstep {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 20;

[[noreturn]] void throw_system_error(const std::string& what, const std::filesystem::path& path, int error) {
  const std::string message = what + " " + path.string() + ": " + std::generic_category().message(error);
  if (error == ENOSPC || error == EDQUOT || error == EFBIG) {
    throw DiskFullError(message + "; free some space or choose another --run-dir");
  }
  throw DataError(message);
}

// Closes when it leaves scope.
class FileDescriptor {
 public:
  FileDescriptor(const std::filesystem::path& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC)) {
    if (fd_ < 0) throw_system_error("cannot open", path, errno);
  }
  ~FileDescriptor() { ::close(fd_); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

DurableFileWriter::DurableFileWriter(std::filesystem::path path)
    : path_(std::move(path)), fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666)) {
  if (fd_ < 0) throw_system_error("cannot create", path_, errno);
}

DurableFileWriter::~DurableFileWriter() {
  if (fd_ >= 0) ::close(fd_);
}

void DurableFileWriter::write(const void* data, std::size_t size_bytes) {
  const auto* bytes = static_cast<const char*>(data);
  sha256_.update(bytes, size_bytes);
  size_bytes_ += size_bytes;
  while (size_bytes > 0) {
    const ssize_t count = ::write(fd_, bytes, std::min(size_bytes, std::size_t{1} << 30));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_system_error("cannot write", path_, errno);
    bytes += count;
    size_bytes -= static_cast<std::size_t>(count);
  }
}

FileDigest DurableFileWriter::finish() {
  if (::fsync(fd_) != 0) throw_system_error("cannot write", path_, errno);
  const int closed = ::close(fd_);
  fd_ = -1;
  if (closed != 0) throw_system_error("cannot close", path_, errno);
  return {size_bytes_, sha256_.hex_digest()};
}

FileDigest digest_of_file(const std::filesystem::path& path) {
  const FileDescriptor file(path, O_RDONLY);
  FileDigest digest;
  Sha256 sha256;
  std::vector<char> chunk(kChunkBytes);
  for (;;) {
    const ssize_t count = ::read(file.get(), chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_system_error("cannot read", path, errno);
    if (count == 0) break;
    sha256.update(chunk.data(), static_cast<std::size_t>(count));
    digest.size_bytes += static_cast<std::uint64_t>(count);
  }
  digest.sha256 = sha256.hex_digest();
  return digest;
}

void fsync_folder(const std::filesystem::path& folder) {
  const FileDescriptor descriptor(folder, O_RDONLY | O_DIRECTORY);
  if (::fsync(descriptor.get()) != 0) throw_system_error("cannot make durable the folder", folder, errno);
}

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw_system_error("cannot rename " + from.string() + " to", to, errno);
  }
}

bool exchange_paths(const std::filesystem::path& a, const std::filesystem::path& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) return false;
  throw_system_error("cannot exchange " + a.string() + " and", b, errno);
}

}  // namespace lockstep
