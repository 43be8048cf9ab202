// The ledger of a run (RUN_DIR/ledger.jsonl): what each attempt took, append-only, never rolled back with a
// checkpoint.
#pragma once

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "trainer/cost/append_only_file.h"
#include "trainer/cost/cost_meter.h"

namespace lockstep {

// One line of the file: an attempt as far as it had come. A later line of the same attempt replaces an
// earlier one.
struct LedgerRecord {
  int attempt = 1;            // counts from 1
  double start_unix_s = 0.0;  // by the wall clock; for people, not for sums
  double running_s = 0.0;     // since the attempt's start, by the monotonic clock
  int gpus = 1;
  double price_per_gpu_hour = 0.0;  // 0: unknown
  std::string currency = "USD";
  bool closed = false;  // the attempt's end was recorded: it was not killed
  std::string reason;   // why it ended; empty while it runs
};

// The last record of each attempt, by attempt. No file: no attempts. A last line without a newline is what a
// kill left, and is passed over. Throws DataError, naming file and line, for a file that cannot be read or
// any other bad line.
std::vector<LedgerRecord> read_ledger(const std::filesystem::path& file);

int last_attempt(const std::vector<LedgerRecord>& records);  // 0 if there is none

// What attempts cost together. Amounts of different currencies are not added up.
struct LedgerTotal {
  double gpu_hours = 0.0;
  double unpriced_gpu_hours = 0.0;        // the part whose price was not known
  std::map<std::string, double> amounts;  // by currency
};
LedgerTotal total_of(const std::vector<LedgerRecord>& records);

// The total as the CostMeter of a new attempt at `price` wants it. `remark` is one line for the user about
// what `spend.amount` leaves out (other currencies, hours without a price); empty if nothing, or if there is
// no price at all.
struct EarlierSpend {
  Spend spend;
  std::string remark;
};
EarlierSpend earlier_spend(const std::vector<LedgerRecord>& records, const Price& price);

// Writes one attempt's records: one when constructed, one every `heartbeat` from a thread of its own (so that
// a hanging step is billed too), one in close(). A kill therefore loses at most one heartbeat. Each record is
// synced to disk.
class LedgerWriter {
 public:
  using Warn = std::function<void(const std::string& line)>;

  // `meter` must outlive the writer. `warn` is called at most once, from the heartbeat's thread or in
  // close(), when a record could not be written; the next heartbeat tries again. Throws DataError if the
  // first record cannot be written.
  LedgerWriter(const std::filesystem::path& file, int attempt, const CostMeter& meter, Warn warn,
               std::chrono::milliseconds heartbeat = std::chrono::seconds(10));
  // Stops the heartbeat; without close() the attempt stays open, as after a kill.
  ~LedgerWriter();
  LedgerWriter(const LedgerWriter&) = delete;
  LedgerWriter& operator=(const LedgerWriter&) = delete;

  // The attempt's last record. `reason`: "finished", "paused", ... Closing again does nothing.
  void close(const std::string& reason);

 private:
  void write_record();
  void stop();

  AppendOnlyFile file_;
  const CostMeter& meter_;
  Warn warn_;
  LedgerRecord record_;
  bool warned_ = false;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  std::thread heartbeat_;
};

}  // namespace lockstep
