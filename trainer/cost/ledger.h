// The ledger of a run (RUN_DIR/ledger.jsonl): what each attempt took, append-only, never rolled back with a
// checkpoint. docs/contracts.md lists its fields.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "trainer/cost/billing.h"
#include "trainer/cost/run_parts.h"

namespace lockstep {

// The reason of an attempt that --adaptive-ranks has paused.
inline constexpr const char* kFewerRanks = "fewer_ranks";

// One line of the file: an attempt as far as it had come. A later line of the same attempt replaces an
// earlier one.
struct LedgerRecord {
  int attempt = 1;            // counts from 1
  double start_unix_s = 0.0;  // by the wall clock; for people, and for pauses
  double running_s = 0.0;     // since the attempt's start, by the monotonic clock
  int gpus = 1;
  double price_per_gpu_hour = 0.0;  // 0: unknown
  std::string currency = "USD";
  bool closed = false;      // the attempt's end was recorded: it was not killed
  std::string reason;       // why it ended; empty while it runs
  std::string launch;       // LaunchMoment's text; empty: there was no launcher
  double end_unix_s = 0.0;  // by the wall clock, when the line was written
  std::string boot;         // boot_identity()
  double boot_s = 0.0;      // boot_seconds() at the attempt's start
  Billing billing;
  Storage storage;
  std::int64_t step = 0;  // steps done
  RunPartTimes parts;     // add up to running_s; all 0 in old ledgers
  std::string gpu_type;
  std::string price_source;
  int next_ranks = 0;      // --adaptive-ranks: the run goes on with at most so many; 0: as before
  double leaving_s = 0.0;  // from the record at its end until the launcher was done with it; 0: not known

  Price price() const { return {price_per_gpu_hour, currency}; }
};

std::string to_line(const LedgerRecord& record);

// The last record of each attempt, by attempt. No file: no attempts. A last line without a newline is what a
// kill left, and is passed over. Throws DataError, naming file and line, for a file that cannot be read or
// any other bad line.
std::vector<LedgerRecord> read_ledger(const std::filesystem::path& file);

// What the last attempt that has next_ranks says; 0: none has.
int decided_ranks(const std::vector<LedgerRecord>& records);
int last_attempt(const std::vector<LedgerRecord>& records);          // 0 if there is none
double longest_leaving_s(const std::vector<LedgerRecord>& records);  // 0: none is known

}  // namespace lockstep
