// [[gpu]] tables with name, price_per_gpu_hour and the like; what all rows share may stand before the first.
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>

#include "trainer/cost/price_rows.h"

namespace lockstep {
namespace {

constexpr std::array kShared = {"currency", "source", "date"};
constexpr std::array kKeys = {"name",     "memory_gib",         "instance_type",           "region",
                              "currency", "price_per_gpu_hour", "spot_price_per_gpu_hour", "source",
                              "date"};

std::size_t line_of(const toml::node& node) {
  return node.source().begin.line;
}

std::string text_in(const toml::table& table, const char* key, const std::string& otherwise = {}) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return otherwise;
  if (const auto* date = node->as_date()) {
    std::ostringstream text;
    text << date->get();
    return text.str();
  }
  const auto* text = node->as_string();
  if (text == nullptr) throw std::invalid_argument(std::string(key) + " must be a text in quotes");
  return text->get();
}

std::optional<double> number_in(const toml::table& table, const char* key) {
  const toml::node* node = table.get(key);
  if (node == nullptr) return std::nullopt;
  const auto number = node->value<double>();
  if (!number || !node->is_number()) throw std::invalid_argument(std::string(key) + " must be a number");
  return number;
}

template <std::size_t Count>
void check_keys(const toml::table& table, const std::array<const char*, Count>& known, const char* also) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (name != also && std::find(known.begin(), known.end(), name) == known.end())
      throw std::invalid_argument("unknown key " + name.substr(0, 40));
  }
}

std::optional<double> price_in(const toml::table& table, const char* key, const std::string& currency) {
  const auto price = number_in(table, key);
  if (price) check_listed_price(*price, currency);
  return price;
}

PriceRow row_of(const toml::table& shared, const toml::table& table) {
  check_keys(table, kKeys, "");
  PriceRow row;
  row.gpu_type = text_in(table, "name");
  if (row.gpu_type.empty()) throw std::invalid_argument("it has no name");
  row.instance_type = text_in(table, "instance_type");
  row.region = text_in(table, "region");
  row.gpu_memory_gib = number_in(table, "memory_gib").value_or(0.0);
  row.currency = text_in(table, "currency", text_in(shared, "currency", "USD"));
  check_price({0.0, row.currency});
  row.on_demand = price_in(table, "price_per_gpu_hour", row.currency);
  row.spot = price_in(table, "spot_price_per_gpu_hour", row.currency);
  row.source = text_in(table, "source", text_in(shared, "source"));
  row.date = text_in(table, "date", text_in(shared, "date"));
  if (!row.on_demand && !row.spot)
    throw std::invalid_argument("it has neither price_per_gpu_hour nor spot_price_per_gpu_hour");
  return row;
}

}  // namespace

std::vector<PriceRow> read_price_toml(const PriceFile& file) {
  toml::table table;
  try {
    table = toml::parse(file.text, file.name);
  } catch (const toml::parse_error& error) {
    refuse_price_row(file, error.source().begin.line, std::string(error.description()));
  }
  const toml::array* gpus = table.get_as<toml::array>("gpu");
  std::vector<PriceRow> rows;
  std::size_t line = 1;
  try {
    check_keys(table, kShared, "gpu");
    if (gpus == nullptr) throw std::invalid_argument("the file has no [[gpu]] table");
    for (const toml::node& node : *gpus) {
      line = line_of(node);
      const toml::table* row = node.as_table();
      if (row == nullptr) throw std::invalid_argument("gpu must be a table: [[gpu]]");
      rows.push_back(row_of(table, *row));
      const std::string where = file.name + ":" + std::to_string(line);
      rows.back().source = rows.back().source.empty() ? where : rows.back().source + " (" + where + ")";
      if (rows.back().date.empty()) rows.back().date = file.date;
    }
  } catch (const std::invalid_argument& error) {
    refuse_price_row(file, line, error.what());
  }
  return rows;
}

}  // namespace lockstep
