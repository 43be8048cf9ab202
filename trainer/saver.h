// Saver: what surrounds a save: when one is due, waiting for the one before, and telling how it ended.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "comm/communicator.h"
#include "trainer/checkpoint/checkpoint_writer.h"
#include "trainer/checkpoint/snapshot.h"
#include "trainer/config/train_config.h"
#include "trainer/run_dir/run_dir.h"
#include "trainer/run_reporter.h"
#include "trainer/save_clock.h"

namespace lockstep {

// Every rank has one; rank 0's has a reporter and writes. begin() and settle() are collectives, in which the
// others wait for rank 0 with sign of life, so that no save is too long for their timeout.
class Saver {
 public:
  // `reporter` is rank 0's, else null; `last_complete` the checkpoint that the run goes on from.
  Saver(CommunicatorPtr communicator, const TrainConfig& config, const RunDir& run_dir, RunReporter* reporter,
        double mean_time_between_failures_s, std::optional<std::int64_t> last_complete);

  // All ranks, before they put a checkpoint together: waits until the last one no longer needs the snapshot.
  void begin();
  bool writes() const { return writer_.has_value(); }
  // Rank 0, between begin() and write().
  Snapshot& snapshot() { return snapshot_; }
  // Rank 0: returns at once; training has stood still since begin().
  void write(Checkpoint checkpoint, const Position& at);

  // After each step: reports what has been written since. For ranks that do not write all of these are quick.
  void poll();
  // Whether a save is due by the clock and can begin: rank 0 votes kSave then.
  bool due() const;
  // Why the run cannot go on: a checkpoint could not be written in all its tries. Empty: it can.
  const std::string& failure() const { return failure_; }
  // All ranks: waits until nothing is left to write. Returns failure() on all of them.
  std::string settle();
  // The newest checkpoint that is known to be complete.
  std::optional<std::int64_t> last_complete() const { return last_complete_; }

 private:
  void wait_together(bool until_idle);
  void report(const WriteEnd& end);
  void report_interval();

  CommunicatorPtr communicator_;
  const std::chrono::milliseconds round_;  // between two signs of life
  RunReporter* reporter_;
  std::optional<CheckpointWriter> writer_;
  Snapshot snapshot_;
  std::optional<SaveClock> clock_;
  std::optional<std::int64_t> last_complete_;
  std::chrono::steady_clock::time_point snapshot_began_;
  double waited_s_ = 0.0;
  Position saving_at_;
  double save_time_s_ = 0.0;
  std::string failure_;
  std::optional<double> told_interval_s_;
  double told_notice_s_ = 0.0;
  bool told_waiting_ = false;
  RunDir run_dir_;
};

}  // namespace lockstep
