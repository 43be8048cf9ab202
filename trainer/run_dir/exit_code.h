// Exit codes, and how ranks hand theirs to the launcher past mpirun, whose own status cannot carry them.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace lockstep {

enum class ExitCode : int {
  kFinished = 0,
  kDifference = 1,  // `compare` found one, `doctor` a failure
  kUsage = 2,
  kBadInput = 3,
  kPaused = 10,      // on request or notice: run the same command again
  kPeerFailed = 11,  // a peer, the network, the memory or the disk failed: retryable
  kBudget = 12,      // the budget is reached: do not retry
};

// What one rank left behind.
struct ExitReport {
  int rank = 0;
  ExitCode code = ExitCode::kFinished;
  std::string message;  // one line; empty for kFinished
  int peer = -1;        // the other rank that was missing, where that is the failure
};

// The folder that the launcher named in LOCKSTEP_EXIT_DIR; empty where nobody waits for reports.
std::filesystem::path exit_report_dir();
// Writes DIR/rank-<rank>.json so that a reader sees all of it or nothing. Returns false if it could not be
// written.
bool write_exit_report(const std::filesystem::path& dir, const ExitReport& report) noexcept;
// The report of one rank; nothing if it is missing or damaged.
std::optional<ExitReport> read_exit_report(const std::filesystem::path& dir, int rank);
// All complete reports in DIR, in rank order; damaged ones are skipped.
std::vector<ExitReport> read_exit_reports(const std::filesystem::path& dir);

}  // namespace lockstep
