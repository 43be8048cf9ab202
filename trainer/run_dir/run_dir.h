// RunDir: where everything that a run leaves behind lives (docs/design.md, "What a run leaves behind"). No
// LibTorch.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace lockstep {

// Paths and the checkpoint index of one run folder. Holds no open files; only rank 0 changes the folder.
class RunDir {
 public:
  explicit RunDir(std::filesystem::path root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config_file() const { return root_ / "config.toml"; }
  std::filesystem::path metrics_file() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path ledger_file() const { return root_ / "ledger.jsonl"; }
  std::filesystem::path hashes_file() const { return root_ / "hashes.jsonl"; }
  std::filesystem::path trace_file() const { return root_ / "trace.json"; }
  std::filesystem::path report_file() const { return root_ / "report.html"; }
  std::filesystem::path tensorboard() const { return root_ / "tensorboard"; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path latest_link() const { return checkpoints() / "latest"; }
  // checkpoints/step_00001200 for step 1200 (at least 8 digits).
  std::filesystem::path checkpoint(std::int64_t step) const;

  // Makes the folder. Throws DataError (with the system's reason) if it cannot be made or written.
  void create() const;
  // Steps of the complete-looking checkpoints (those with a meta.json), newest first.
  std::vector<std::int64_t> checkpoint_steps() const;
  // For --fresh: moves what a run left behind into root/previous/<NNNN>; returns that folder, or an empty
  // path if there was nothing to move.
  std::filesystem::path set_aside() const;
  // Whether there is anything for set_aside() to move, and the number of the newest folder that it made (0:
  // none).
  bool holds_a_run() const;
  std::int64_t newest_previous() const;

 private:
  std::filesystem::path root_;
};

// Held by rank 0 (the writer) for as long as it lives; the kernel releases it when the process dies, so that
// a killed run never blocks the next one.
class RunDirLock {
 public:
  // Throws DataError that names the process and the host holding it, if another one does.
  explicit RunDirLock(const RunDir& run_dir);
  ~RunDirLock();
  RunDirLock(const RunDirLock&) = delete;
  RunDirLock& operator=(const RunDirLock&) = delete;

 private:
  int fd_;
};

}  // namespace lockstep
