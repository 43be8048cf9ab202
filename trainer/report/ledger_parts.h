// Where a run's time and money went by its ledger, as `lockstep cost` has it.
#pragma once

#include <string>
#include <vector>

#include "trainer/cost/ledger.h"
#include "trainer/report/run_record.h"

namespace lockstep {

struct LedgerParts {
  std::vector<TimePart> parts;  // of all attempts; empty where an old ledger does not say
  std::string currency;         // empty: no price is known, or there are several currencies
};

// The parts' time adds up to the running time, and their money to the bill: what was billed and not used, and
// storage, are parts as well where there are any.
LedgerParts ledger_parts(const std::vector<LedgerRecord>& records);

}  // namespace lockstep
