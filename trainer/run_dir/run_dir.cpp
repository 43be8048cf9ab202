#include "trainer/run_dir/run_dir.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;

// What a run may leave behind. The checkpoints come first: were set_aside() cut short, what stays is no run
// that the next command would continue. Anything else in the folder is not ours and stays where it is.
constexpr std::array kLeftBehind = {"checkpoints",  "config.toml", "metrics.jsonl", "ledger.jsonl",
                                    "hashes.jsonl", "trace.json",  "report.html",   "tensorboard"};

std::optional<std::int64_t> to_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) {
    return std::nullopt;
  }
  return number;
}

std::string zero_padded(std::int64_t number, std::size_t digits) {
  const std::string text = std::to_string(number);
  return std::string(digits - std::min(digits, text.size()), '0') + text;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

void sync_folder(const fs::path& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || fsync(fd) != 0) {
    const int error = errno;
    if (fd >= 0) {
      close(fd);
    }
    throw fs::filesystem_error("cannot be synced", folder, std::error_code(error, std::generic_category()));
  }
  close(fd);
}

}  // namespace

RunDir::RunDir(fs::path root) : root_(std::move(root)) {}

fs::path RunDir::checkpoint(std::int64_t step) const {
  constexpr std::size_t kDigits = 8;
  return checkpoints() / ("step_" + zero_padded(step, kDigits));
}

void RunDir::create() const {
  std::error_code error;
  fs::create_directories(root_, error);
  if (!error) {
    // Permissions alone do not tell: root may write anywhere but on a read-only or full file system.
    std::string probe = (root_ / ".writable.XXXXXX").string();
    const int fd = mkostemp(probe.data(), O_CLOEXEC);
    if (fd >= 0) {
      close(fd);
      unlink(probe.c_str());
      return;
    }
    error = std::error_code(errno, std::generic_category());
  }
  throw DataError("--run-dir: " + root_.string() + " cannot be made or written (" + error.message() +
                  "); choose a folder that can");
}

std::vector<std::int64_t> RunDir::checkpoint_steps() const {
  constexpr std::string_view kPrefix = "step_";
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(checkpoints(), error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) {
      continue;
    }
    const auto step = to_number(std::string_view(name).substr(kPrefix.size()));
    std::error_code missing;
    if (step && entry.path() == checkpoint(*step) &&
        fs::is_regular_file(entry.path() / "meta.json", missing)) {
      steps.push_back(*step);
    }
  }
  std::sort(steps.begin(), steps.end(), std::greater<>());
  return steps;
}

bool RunDir::holds_a_run() const {
  return std::any_of(kLeftBehind.begin(), kLeftBehind.end(),
                     [&](const char* name) { return is_there(root_ / name); });
}

std::int64_t RunDir::newest_previous() const {
  std::int64_t newest = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root_ / "previous", error)) {
    newest = std::max(newest, to_number(entry.path().filename().string()).value_or(0));
  }
  return newest;
}

fs::path RunDir::set_aside() const {
  if (!holds_a_run()) {
    return {};
  }
  try {
    const fs::path previous = root_ / "previous";
    fs::create_directories(previous);
    constexpr std::size_t kDigits = 4;
    const fs::path kept = previous / zero_padded(newest_previous() + 1, kDigits);
    fs::create_directory(kept);
    for (const char* name : kLeftBehind) {
      if (is_there(root_ / name)) {
        fs::rename(root_ / name, kept / name);
      }
    }
    sync_folder(kept);
    sync_folder(previous);
    sync_folder(root_);
    return kept;
  } catch (const fs::filesystem_error& failure) {
    throw DataError("--fresh: the old run in " + root_.string() + " cannot be kept aside (" +
                    failure.code().message() + "); move it away or choose another --run-dir");
  }
}

}  // namespace lockstep
