#include "trainer/cost/ledger_writer.h"

#include <utility>

#include "sampler/data_error.h"
#include "trainer/cost/launch_moment.h"

namespace lockstep {

LedgerRecord first_record(int attempt, const Tariff& tariff, int gpus, double running_s,
                          const std::string& launch) {
  LedgerRecord record;
  record.attempt = attempt;
  record.end_unix_s = unix_seconds();
  record.start_unix_s = record.end_unix_s - running_s;
  record.running_s = running_s;
  record.gpus = gpus;
  record.price_per_gpu_hour = tariff.price.per_gpu_hour;
  record.currency = tariff.price.currency;
  record.launch = launch;
  record.boot = boot_identity();
  record.boot_s = boot_seconds() - running_s;
  record.billing = tariff.billing;
  record.storage = tariff.storage;
  record.gpu_type = tariff.gpu_type;
  record.price_source = tariff.source;
  return record;
}

LedgerWriter::LedgerWriter(const std::filesystem::path& file, LedgerRecord first, const CostMeter& meter,
                           const PartMeter& parts, Warn warn, std::chrono::milliseconds heartbeat, Beat beat)
    : file_(file),
      meter_(meter),
      parts_(parts),
      warn_(std::move(warn)),
      beat_(std::move(beat)),
      record_(std::move(first)),
      step_(record_.step) {
  record_.running_s = meter_.running_s();
  record_.parts = parts_.times(record_.running_s);
  file_.append(to_line(record_));
  file_.sync();
  heartbeat_ = std::thread([this, heartbeat] {
    std::unique_lock lock(mutex_);
    while (!stopped_.wait_for(lock, heartbeat, [this] { return stopping_; })) write_record();
  });
}

LedgerWriter::~LedgerWriter() {
  stop();
}

void LedgerWriter::close(const std::string& reason, int next_ranks) {
  stop();
  if (record_.closed) return;
  record_.closed = true;
  record_.reason = reason;
  record_.next_ranks = next_ranks;
  write_record();
}

void LedgerWriter::write_record() {
  if (beat_) beat_();
  record_.running_s = meter_.running_s();
  record_.parts = parts_.times(record_.running_s);
  record_.end_unix_s = unix_seconds();
  record_.step = step_.load(std::memory_order_relaxed);
  try {
    file_.append(to_line(record_));
    file_.sync();
  } catch (const DataError& error) {
    if (!std::exchange(warned_, true))
      warn_(std::string(error.what()) + "; what the run costs may go unrecorded");
  }
}

void LedgerWriter::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  if (heartbeat_.joinable()) heartbeat_.join();
}

void extend_last_attempt(const std::filesystem::path& file, const std::string& launch, double launcher_s) {
  double before_s = 0.0;
  LedgerRecord last;
  for (const LedgerRecord& record : read_ledger(file)) {
    if (record.launch != launch) continue;
    before_s += last.launch.empty() ? 0.0 : last.running_s;
    last = record;
  }
  const double missing_s = launcher_s - before_s - last.running_s;
  if (last.launch.empty() || missing_s <= 0.0) return;
  last.running_s += missing_s;
  if (last.closed) last.leaving_s += missing_s;  // else it was killed, and did not leave
  last.parts[RunPart::kIdle] += missing_s;
  last.end_unix_s = unix_seconds();
  AppendOnlyFile ledger(file);
  ledger.append(to_line(last));
  ledger.sync();
}

}  // namespace lockstep
