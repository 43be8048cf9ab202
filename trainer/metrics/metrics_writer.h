// MetricsWriter: metrics.jsonl, the source of truth for every report (docs/contracts.md).
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "trainer/cost/append_only_file.h"
#include "trainer/metrics/metrics_records.h"

namespace lockstep {

// The highest step of which it says that a checkpoint was complete; none if it tells of none.
std::optional<std::int64_t> last_metrics_checkpoint(const std::filesystem::path& file);

// For rank 0 only; not thread-safe. Each record is one line, written at once, so that a kill tears at most
// the last one; opening the file cuts a torn one off. Training goes on if the file cannot be written: `warn`
// is called once, and each later record is tried again.
class MetricsWriter {
 public:
  using Warn = std::function<void(const std::string& line)>;

  MetricsWriter(std::filesystem::path file, int attempt, Warn warn);

  void write(const StartRecord& record);
  void write(const TrainRecord& record);
  void write(const EvalRecord& record);
  void write(const EventRecord& record);
  void write(const EndRecord& record);

 private:
  void write_line(const std::string& line);

  std::filesystem::path path_;
  int attempt_;
  Warn warn_;
  std::optional<AppendOnlyFile> file_;
  bool warned_ = false;
};

}  // namespace lockstep
