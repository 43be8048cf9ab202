#include "launch/exit_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>
#include <system_error>

#include "launch/launcher_file.h"
#include "sampler/data_error.h"
#include "trainer/run_dir/run_dir.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

int lock_file(const fs::path& file) {
  const int fd = open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
    close(fd);
    return -1;
  }
  return fd;
}

// A launcher that was killed no longer holds its lock. Young folders are left alone: theirs may be about to
// be taken.
void remove_abandoned(const fs::path& parent) {
  constexpr auto kYoung = std::chrono::minutes(1);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    std::error_code gone;
    const auto changed = entry.last_write_time(gone);
    if (gone || !entry.is_directory(gone) || fs::file_time_type::clock::now() - changed < kYoung) {
      continue;
    }
    if (const int fd = lock_file(entry.path() / "lock"); fd >= 0) {
      fs::remove_all(entry.path(), gone);
      close(fd);
    }
  }
}

}  // namespace

ExitFolder::ExitFolder(const fs::path& run_dir) {
  const fs::path root = fs::absolute(run_dir).lexically_normal();
  std::error_code error;
  for (fs::path folder = root / ".launch";
       !fs::exists(folder, error) && !folder.empty() && folder != folder.parent_path();
       folder = folder.parent_path()) {
    made_.push_back(folder);
  }
  RunDir(root).create();
  std::string name = (root / ".launch" / (std::to_string(getpid()) + "-XXXXXX")).string();
  fs::create_directory(root / ".launch", error);
  if (mkdtemp(name.data()) == nullptr) {
    throw DataError("--run-dir: " + root.string() + " cannot be written (" +
                    std::generic_category().message(errno) + "); choose a folder that can");
  }
  path_ = name;
  lock_ = lock_file(path_ / "lock");
  write_launcher_file(path_, this_launcher());
  remove_abandoned(root / ".launch");
}

fs::path ExitFolder::attempt(int number) const {
  const fs::path folder = path_ / ("attempt-" + std::to_string(number));
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) {
    throw DataError("--run-dir: " + folder.string() + " cannot be made (" + error.message() +
                    "); choose a folder that can be written");
  }
  return folder;
}

ExitFolder::~ExitFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  fs::remove(path_.parent_path(), ignored);  // .launch, unless another launcher is there
  for (const fs::path& folder : made_) {
    fs::remove(folder, ignored);  // only if it is empty
  }
  if (lock_ >= 0) {
    close(lock_);
  }
}

}  // namespace lockstep
