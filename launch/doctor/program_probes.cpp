#include "launch/doctor/program_probes.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "comm/file_descriptor.h"
#include "launch/doctor/child_program.h"
#include "launch/doctor/probe_source.h"
#include "launch/program_path.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kOpenMpi = "open mpi";
constexpr const char* kDisk = "disk";
constexpr std::size_t kPieceBytes = 4 << 20;
constexpr std::size_t kMostBytes = 64 << 20;
constexpr std::chrono::milliseconds kLongestTrial{500};

// A file without a name, so that nothing is left whatever happens; where the file system has none, one that
// is removed while it is open.
FileDescriptor open_nameless(const fs::path& folder) {
  FileDescriptor file(open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
  if (file || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return file;
  std::string name = (folder / ".lockstep-doctor-XXXXXX").string();
  file = FileDescriptor(mkostemp(name.data(), O_CLOEXEC));
  if (file) unlink(name.c_str());
  return file;
}

}  // namespace

Finding judge_open_mpi(const std::string& program, const std::string& printed) {
  const std::string wanted =
      "Open MPI 4.1 is what the launcher is made for (Debian 12, Ubuntu 24.04: openmpi-bin)";
  const std::string line = printed.substr(0, printed.find('\n'));
  if (line.empty()) return failure(kOpenMpi, program + " cannot be run", "install the package openmpi-bin");
  const std::size_t version = line.rfind(' ') + 1;
  if (line.find("Open MPI") == std::string::npos)
    return failure(kOpenMpi, program + " is \"" + line + "\"", wanted);
  if (!line.substr(version).starts_with("4.1."))
    return warning(kOpenMpi, line + " (" + program + ")", wanted);
  return ok(kOpenMpi, line.substr(version) + " (" + program + ")");
}

Finding probe_open_mpi(const std::string& path) {
  const auto program = find_on_path("mpirun", path);
  if (!program) {
    return failure(kOpenMpi, "mpirun is not on the PATH, so that only one rank can be started",
                   "install the package openmpi-bin (Debian 12, Ubuntu 24.04)");
  }
  ChildProgram child({program->string(), "--version"}, current_environment());
  const auto line = child.read_line(Clock::now() + std::chrono::seconds(5));
  return judge_open_mpi(program->string(), line.value_or(""));
}

DiskTrial try_disk(const fs::path& run_dir) {
  DiskTrial trial;
  std::error_code error;
  trial.folder = fs::absolute(run_dir, error);
  while (!fs::is_directory(trial.folder, error) && trial.folder.has_relative_path())
    trial.folder = trial.folder.parent_path();
  if (const auto size = ProbeSource::size_of(trial.folder))
    trial.free_bytes = static_cast<double>(size->free_bytes);
  const FileDescriptor file = open_nameless(trial.folder);
  if (!file) {
    trial.problem = std::strerror(errno);
    return trial;
  }
  // Noise, since some file systems do not store zeros.
  std::vector<std::uint32_t> piece(kPieceBytes / sizeof(std::uint32_t));
  std::uint32_t state = 2463534242;
  for (std::uint32_t& word : piece) word = state = state * 1664525u + 1013904223u;
  const auto begin = Clock::now();
  std::size_t written = 0;
  while (written < kMostBytes && (written == 0 || Clock::now() - begin < kLongestTrial)) {
    const ssize_t bytes = write(file.get(), piece.data(), kPieceBytes);
    if (bytes <= 0 || fdatasync(file.get()) != 0) {
      trial.problem = std::strerror(errno);
      return trial;
    }
    written += static_cast<std::size_t>(bytes);
  }
  const std::chrono::duration<double> elapsed = Clock::now() - begin;
  trial.bytes_per_s = static_cast<double>(written) / std::max(elapsed.count(), 1e-9);
  return trial;
}

Finding judge_disk(const DiskTrial& trial) {
  constexpr double kSlow = 100e6;
  constexpr double kLittle = 10e9;
  const std::string where = trial.folder.string();
  if (!trial.problem.empty())
    return failure(kDisk, where + " cannot be written (" + trial.problem + ")", "name another --run-dir");
  const std::string text = where + ": " + std::to_string(static_cast<long>(trial.bytes_per_s / 1e6)) +
                           " MB/s written, " + gigabytes(trial.free_bytes) + " free";
  if (trial.bytes_per_s < kSlow)
    return warning(kDisk, text,
                   "checkpoints are written while training goes on, but no faster than that: choose a local "
                   "disk, or a longer --checkpoint-interval");
  if (trial.free_bytes < kLittle) return warning(kDisk, text, "make room, or lower --keep-checkpoints");
  return ok(kDisk, text);
}

}  // namespace lockstep
