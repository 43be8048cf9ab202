// Price tables: SkyPilot's catalogs (CSV), or our own TOML (share/lockstep/prices.toml shows its form).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "trainer/cost/spend.h"

namespace lockstep {

struct PriceRow {
  std::string gpu_type;             // "A100"
  std::string instance_type;        // "a2-highgpu-1g"; empty where prices are by GPU
  std::string region;               // empty: any
  double gpu_memory_gib = 0.0;      // of one GPU; 0: not known
  std::optional<double> on_demand;  // per GPU-hour, as is the next
  std::optional<double> spot;       // at least one of the two
  std::string currency = "USD";
  std::string source;  // who says so, and where in the file
  std::string date;    // of the price, else of the file
};

struct PriceQuestion {
  std::string gpu_type;     // upper and lower case are the same
  std::string region = {};  // empty: all of them
  bool spot = false;
  std::string currency = "USD";
};

struct PriceAnswer {
  Price price;
  PriceRow row;
};

// A file whose name ends in .toml is ours; any other has SkyPilot's columns, of which AcceleratorName,
// AcceleratorCount and Price are needed. SkyPilot's prices are those of a whole instance, in USD; rows
// without an accelerator are passed over. Throws DataError, naming file and line, for a file that cannot be
// read, or any row that is broken: a column too few, or a price that is negative, zero, absurd or missing
// altogether.
std::vector<PriceRow> read_price_table(const std::filesystem::path& file);

// The cheapest row that fits. Throws std::invalid_argument that says what there is instead (near names,
// regions, currencies).
PriceAnswer find_price(const std::vector<PriceRow>& rows, const PriceQuestion& question);

// Throws std::invalid_argument for a price per GPU-hour that is negative, zero, no number or absurd: no GPU
// costs over 1,000 an hour in USD, EUR or GBP, or 1,000,000 in whatever currency.
void check_listed_price(double price_per_gpu_hour, const std::string& currency);

// The table that is installed with the programs, ../share/lockstep/prices.toml from the folder of
// `own_program`.
std::filesystem::path installed_price_table(const std::filesystem::path& own_program);

}  // namespace lockstep
