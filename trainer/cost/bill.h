// The bill: a ledger's records as billed intervals and the pauses between them, and what they add up to.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "trainer/cost/cost_meter.h"
#include "trainer/cost/ledger.h"

namespace lockstep {

// One rental: the attempts of one launcher on as many GPUs at one price; and, where pauses do not stop the
// billing, all attempts on the machine that was held.
struct BilledInterval {
  int first_attempt = 1;
  int last_attempt = 1;
  double start_unix_s = 0.0;
  double running_s = 0.0;
  double held_s = 0.0;    // paused, but paid for
  double billed_s = 0.0;  // running and held, as the billing rounds them
  int gpus = 1;
  Price price;
  Billing billing;
  RunPartTimes parts;           // of running_s
  double amount = 0.0;          // price x billed hours x GPUs; 0 where the price is not known
  double storage_amount = 0.0;  // while running and held

  // Billed beyond what was used.
  double rounding_s() const { return billed_s - running_s - held_s; }
};

// Between two intervals: nothing but storage is billed.
struct Pause {
  int after_attempt = 1;
  double seconds = 0.0;
  double storage_amount = 0.0;
  std::string currency;
};

struct Bill {
  std::vector<BilledInterval> intervals;
  std::vector<Pause> pauses;
  std::vector<std::string> remarks;  // of clocks that jumped
};

Bill bill_of(const std::vector<LedgerRecord>& records);

// What attempts cost together. Amounts of different currencies are not added up.
struct LedgerTotal {
  double gpu_hours = 0.0;                 // of use, not as billed
  double unpriced_gpu_hours = 0.0;        // the part whose price was not known
  std::map<std::string, double> amounts;  // by currency, storage included
};
LedgerTotal total_of(const Bill& bill);

// What the meter of a new attempt starts from. `now` is the attempt's first record. `remark` is one line for
// the user about what the amount leaves out (other currencies, hours without a price), and about clocks;
// empty if there is nothing to say.
struct EarlierSpend {
  MeterStart start;  // without running_s
  std::string remark;
};
EarlierSpend earlier_spend(const std::vector<LedgerRecord>& records, const LedgerRecord& now);

}  // namespace lockstep
