// What the launcher asks about a budget before it starts anything.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "trainer/config/train_config.h"

namespace lockstep {

// Throws std::invalid_argument if `spent` is the whole budget, or more.
void check_not_spent(const TrainConfig& config, double spent);

// Why a run on `gpus` GPUs in `run_dir` cannot start within its budget; nothing if it can, or if there is
// none.
struct BudgetRefusal {
  std::string reason;
  bool may_go_on = false;  // with --yes, up to the mark
};
// Looks at the ledger for what is spent. What is to come it takes from the last attempt's expectation, from
// what runs with the same options have measured, or from --expected-hours. Throws
// std::invalid_argument as check_not_spent() and tariff_of(), DataError for a ledger or a price table that
// cannot be used.
std::optional<BudgetRefusal> refuse_to_start(const TrainConfig& config, const std::filesystem::path& run_dir,
                                             int gpus);

}  // namespace lockstep
