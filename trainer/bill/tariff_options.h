// From a run's options to its tariff, the price table looked up.
#pragma once

#include <filesystem>
#include <string>

#include "trainer/config/train_config.h"
#include "trainer/cost/billing.h"

namespace lockstep {

// What is said to be the source of a price that no table gave.
inline constexpr const char* kOwnPrice = "your own";

// `price_table`, or the installed one if that is empty.
std::filesystem::path table_of(const std::string& price_table);

// Throws std::invalid_argument for a GPU, region or currency that the table does not have, DataError for a
// table that cannot be used.
Tariff tariff_of(const TrainConfig& config);

// "A100 at $3.07 per GPU-hour, billed per-hour (SOURCE, 2026-11-21)"; empty where no price is known.
std::string describe(const Tariff& tariff);

}  // namespace lockstep
