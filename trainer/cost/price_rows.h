// The readers of the two forms of a price table; read_price_table() chooses.
#pragma once

#include <string>
#include <vector>

#include "trainer/cost/price_table.h"

namespace lockstep {

// `text` is the file's; `date` is that of the file, `name` its name for errors and sources.
struct PriceFile {
  std::string name;
  std::string date;
  std::string text;
};

std::vector<PriceRow> read_price_csv(const PriceFile& file);
std::vector<PriceRow> read_price_toml(const PriceFile& file);

[[noreturn]] void refuse_price_row(const PriceFile& file, std::size_t line, const std::string& reason);

}  // namespace lockstep
