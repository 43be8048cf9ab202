// LedgerWriter: keeps an attempt's record in the ledger up to date while it runs.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "trainer/cost/append_only_file.h"
#include "trainer/cost/cost_meter.h"
#include "trainer/cost/ledger.h"

namespace lockstep {

// The first record of an attempt: who and when; the meter knows the rest.
LedgerRecord first_record(int attempt, const Tariff& tariff, int gpus, double running_s,
                          const std::string& launch);

// Writes one attempt's records: one when constructed, one every `heartbeat` from a thread of its own (so that
// a hanging step is billed too), one in close(). A kill therefore loses at most one heartbeat. Each record is
// synced to disk.
class LedgerWriter {
 public:
  using Warn = std::function<void(const std::string& line)>;
  // Called before each record is written, by whichever thread writes it.
  using Beat = std::function<void()>;

  // `meter` and `parts` must outlive the writer. `warn` is called at most once, from the heartbeat's thread
  // or in close(), when a record could not be written; the next heartbeat tries again. Throws DataError if
  // the first record cannot be written.
  LedgerWriter(const std::filesystem::path& file, LedgerRecord first, const CostMeter& meter,
               const PartMeter& parts, Warn warn,
               std::chrono::milliseconds heartbeat = std::chrono::seconds(10), Beat beat = {});
  // Stops the heartbeat; without close() the attempt stays open, as after a kill.
  ~LedgerWriter();
  LedgerWriter(const LedgerWriter&) = delete;
  LedgerWriter& operator=(const LedgerWriter&) = delete;

  // Steps done, for the next record. From any thread.
  void set_step(std::int64_t step) { step_.store(step, std::memory_order_relaxed); }
  // The attempt's last record. `reason`: "finished", "paused", ... Closing again does nothing.
  // `next_ranks` is LedgerRecord's.
  void close(const std::string& reason, int next_ranks = 0);

 private:
  void write_record();
  void stop();

  AppendOnlyFile file_;
  const CostMeter& meter_;
  const PartMeter& parts_;
  Warn warn_;
  Beat beat_;
  LedgerRecord record_;
  std::atomic<std::int64_t> step_;
  bool warned_ = false;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::thread heartbeat_;
};

// For the launcher, once the ranks are gone: bills the last attempt of `launch` up to `launcher_s` seconds
// after its launcher's start. The time that no rank has recorded is idle. Does nothing without such an
// attempt. Throws DataError.
void extend_last_attempt(const std::filesystem::path& file, const std::string& launch, double launcher_s);

}  // namespace lockstep
