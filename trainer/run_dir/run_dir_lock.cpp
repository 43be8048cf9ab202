// The lock is the kernel's (flock on RUN_DIR/.lock), so it ends with its holder, however that dies. The
// file's text only tells a person who holds it.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>
#include <system_error>

#include "sampler/data_error.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

std::string this_process() {
  std::array<char, 256> host{};
  gethostname(host.data(), host.size() - 1);
  return "process " + std::to_string(getpid()) + " on " + host.data();
}

std::string read_holder(int fd) {
  std::array<char, 300> text{};
  const ssize_t length = pread(fd, text.data(), text.size(), 0);
  std::string holder(text.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
  holder = holder.substr(0, holder.find('\n'));
  return holder.empty() ? "another process" : holder;
}

}  // namespace

RunDirLock::RunDirLock(const RunDir& run_dir)
    : fd_(open((run_dir.root() / ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  const auto complain = [&](const std::string& reason) {
    if (fd_ >= 0) {
      close(fd_);
    }
    throw DataError("--run-dir: " + run_dir.root().string() + " " + reason);
  };
  if (fd_ < 0) {
    complain("cannot be locked (" + std::generic_category().message(errno) +
             "); choose a folder that can be written");
  }
  if (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      complain("is in use by " + read_holder(fd_) + "; wait for it to end or choose another --run-dir");
    }
    complain("cannot be locked (" + std::generic_category().message(errno) +
             "); its file system must support flock");
  }
  const std::string holder = this_process() + "\n";
  if (ftruncate(fd_, 0) != 0 || pwrite(fd_, holder.data(), holder.size(), 0) < 0) {
    complain("cannot be written (" + std::generic_category().message(errno) + "); choose a folder that can");
  }
}

RunDirLock::~RunDirLock() {
  close(fd_);
}

}  // namespace lockstep
