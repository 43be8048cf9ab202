#include "trainer/cost/bill.h"

#include <algorithm>
#include <cmath>

namespace lockstep {
namespace {

constexpr double kJump_s = 60.0;  // clocks are put right by less all the time
constexpr double kLongestPause_s = 366.0 * 86400.0;

// A machine is not held for a run that has come to its end.
bool goes_on(const LedgerRecord& before, const LedgerRecord& after) {
  const bool same_rental = !after.launch.empty() && before.launch == after.launch;
  const bool held =
      !before.billing.pause_stops_billing && before.reason != "finished" && before.reason != "early_stopped";
  return (same_rental || held) && before.gpus == after.gpus &&
         before.price_per_gpu_hour == after.price_per_gpu_hour && before.currency == after.currency &&
         before.billing == after.billing;
}

std::string hours(double seconds) {
  const long long minutes = std::llround(seconds / 60.0);
  return std::to_string(minutes / 60) + " h " + std::to_string(minutes % 60) + " min";
}

// By the machine's uptime where it can be, else by the wall clock, within bounds.
double pause_between(const LedgerRecord& before, const LedgerRecord& after,
                     std::vector<std::string>& remarks) {
  const double wall_s = after.start_unix_s - before.end_unix_s;
  const std::string where = "between attempts " + std::to_string(before.attempt) + " and " +
                            std::to_string(after.attempt) + " the wall clock ";
  if (!after.boot.empty() && before.boot == after.boot) {
    const double up_s = std::max(0.0, after.boot_s - before.boot_s - before.running_s);
    if (std::abs(wall_s - up_s) > kJump_s)
      remarks.push_back(where + "jumped by " + (wall_s < up_s ? "-" : "") + hours(std::abs(wall_s - up_s)) +
                        "; the pause is counted by the machine's uptime");
    return up_s;
  }
  if (wall_s < -kJump_s) remarks.push_back(where + "went back by " + hours(-wall_s) + "; the pause counts 0");
  if (wall_s > kLongestPause_s)
    remarks.push_back(where + "went on by over a year; the pause counts 366 days");
  return std::clamp(wall_s, 0.0, kLongestPause_s);
}

void note_jump(const LedgerRecord& record, std::vector<std::string>& remarks) {
  const double jump_s = record.end_unix_s - record.start_unix_s - record.running_s;
  if (std::abs(jump_s) > kJump_s + 0.01 * record.running_s)
    remarks.push_back("during attempt " + std::to_string(record.attempt) + " the wall clock jumped by " +
                      (jump_s < 0 ? "-" : "") + hours(std::abs(jump_s)) + "; it bills nothing");
}

BilledInterval begin_interval(const LedgerRecord& record) {
  BilledInterval interval;
  interval.first_attempt = record.attempt;
  interval.start_unix_s = record.start_unix_s;
  interval.gpus = record.gpus;
  interval.price = record.price();
  interval.billing = record.billing;
  return interval;
}

void add_up(BilledInterval& interval) {
  interval.billed_s = billed_seconds(interval.billing, interval.running_s + interval.held_s);
  interval.amount = spend_of(interval.price, interval.gpus, interval.billed_s).amount.value_or(0.0);
}

}  // namespace

Bill bill_of(const std::vector<LedgerRecord>& records) {
  Bill bill;
  const LedgerRecord* before = nullptr;
  for (const LedgerRecord& record : records) {
    note_jump(record, bill.remarks);
    // Attempts of one launcher touch: what lies between them is in the later one.
    const bool touches = before != nullptr && !record.launch.empty() && before->launch == record.launch;
    const double pause_s = before == nullptr || touches ? 0.0 : pause_between(*before, record, bill.remarks);
    if (before == nullptr || !goes_on(*before, record)) {
      if (before != nullptr && !touches)
        bill.pauses.push_back(
            {before->attempt, pause_s, storage_amount(before->storage, pause_s), before->currency});
      bill.intervals.push_back(begin_interval(record));
    } else {
      bill.intervals.back().held_s += pause_s;
      bill.intervals.back().storage_amount += storage_amount(before->storage, pause_s);
    }
    BilledInterval& interval = bill.intervals.back();
    interval.last_attempt = record.attempt;
    interval.running_s += record.running_s;
    interval.parts += record.parts;
    interval.storage_amount += storage_amount(record.storage, record.running_s);
    before = &record;
  }
  for (BilledInterval& interval : bill.intervals) add_up(interval);
  return bill;
}

LedgerTotal total_of(const Bill& bill) {
  LedgerTotal total;
  for (const BilledInterval& interval : bill.intervals) {
    const double gpu_hours = interval.running_s / 3600.0 * interval.gpus;
    total.gpu_hours += gpu_hours;
    if (interval.price.is_known()) {
      total.amounts[interval.price.currency] += interval.amount + interval.storage_amount;
    } else {
      total.unpriced_gpu_hours += gpu_hours;
    }
  }
  for (const Pause& pause : bill.pauses) {
    if (pause.storage_amount > 0.0) total.amounts[pause.currency] += pause.storage_amount;
  }
  return total;
}

EarlierSpend earlier_spend(const std::vector<LedgerRecord>& records, const LedgerRecord& now) {
  std::vector<LedgerRecord> all = records;
  all.push_back(now);
  all.back().running_s = 0.0;
  all.back().end_unix_s = now.start_unix_s;
  const Bill bill = bill_of(all);
  const LedgerTotal total = total_of(bill);
  const BilledInterval& current = bill.intervals.back();
  EarlierSpend earlier;
  earlier.start.interval_s = current.running_s + current.held_s;
  Spend& spend = earlier.start.earlier;
  spend.gpu_hours = total.gpu_hours;
  spend.currency = now.currency;
  std::string left_out;
  for (const auto& [other, amount] : total.amounts) {
    if (other == now.currency) {
      spend.amount = amount - current.amount;
    } else {
      left_out += (left_out.empty() ? "" : " and ") + format_money(amount, other);
    }
  }
  if (total.unpriced_gpu_hours > 0.0 && (now.price().is_known() || !total.amounts.empty())) {
    const Spend unpriced{.gpu_hours = total.unpriced_gpu_hours, .amount = {}, .currency = now.currency};
    left_out += (left_out.empty() ? "" : " and ") + format_spend(unpriced) + " without a price";
  }
  if (!left_out.empty()) {
    earlier.remark =
        "the spend in " + now.currency + " leaves out " + left_out + " of earlier attempts (ledger.jsonl)";
  }
  for (const std::string& remark : bill.remarks)
    earlier.remark += (earlier.remark.empty() ? "" : "; ") + remark;
  return earlier;
}

}  // namespace lockstep
