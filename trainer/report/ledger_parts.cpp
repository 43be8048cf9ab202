#include "trainer/report/ledger_parts.h"

#include <algorithm>
#include <limits>

#include "trainer/cost/bill.h"

namespace lockstep {

LedgerParts ledger_parts(const std::vector<LedgerRecord>& records) {
  LedgerParts result;
  const auto says = [](const LedgerRecord& record) { return record.parts.total_s() > 0.0; };
  if (records.empty() || !std::ranges::all_of(records, says)) return result;
  const Bill bill = bill_of(records);
  const auto same_currency = [&](const BilledInterval& interval) {
    return interval.price.is_known() && interval.price.currency == records.front().currency;
  };
  const bool priced = std::ranges::all_of(bill.intervals, same_currency);
  if (priced) result.currency = records.front().currency;

  std::vector<TimePart>& parts = result.parts;
  for (int i = 0; i < kRunPartCount; ++i)
    parts.push_back({.name = run_part_name(static_cast<RunPart>(i)), .seconds = 0.0, .money = 0.0});
  TimePart unused{.name = "billed_not_used", .seconds = 0.0, .money = 0.0};
  TimePart storage{.name = "storage", .seconds = 0.0, .money = 0.0};
  for (const BilledInterval& interval : bill.intervals) {
    const double per_s = interval.price.per_gpu_hour * interval.gpus / 3600.0;
    for (int i = 0; i < kRunPartCount; ++i) {
      const double seconds = interval.parts[static_cast<RunPart>(i)];
      parts[static_cast<std::size_t>(i)].seconds += seconds;
      parts[static_cast<std::size_t>(i)].money += per_s * seconds;
    }
    unused.money += per_s * (interval.rounding_s() + interval.held_s);
    storage.money += interval.storage_amount;
  }
  for (const Pause& pause : bill.pauses) storage.money += pause.storage_amount;
  if (!priced) {
    for (TimePart& part : parts) part.money = std::numeric_limits<double>::quiet_NaN();
    return result;
  }
  for (const TimePart& part : {unused, storage})
    if (part.money > 0.0) parts.push_back(part);
  return result;
}

}  // namespace lockstep
