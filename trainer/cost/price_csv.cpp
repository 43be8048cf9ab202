// SkyPilot's catalog:
// InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice, in any order
// and with others between. Fields may be quoted, with "" for a quote; a record is one line.
#include <algorithm>
#include <charconv>
#include <map>
#include <stdexcept>
#include <string_view>

#include "trainer/cost/price_rows.h"

namespace lockstep {
namespace {

// Empty where a quote is not closed.
std::optional<std::vector<std::string>> split_record(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += line[i++];
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += line[i];
    }
  }
  return quoted ? std::nullopt : std::optional(std::move(fields));
}

class Record {
 public:
  Record(const std::map<std::string, std::size_t>& columns, std::vector<std::string> fields)
      : columns_(columns), fields_(std::move(fields)) {}

  std::string text(const std::string& column) const {
    const auto found = columns_.find(column);
    return found == columns_.end() ? std::string() : fields_[found->second];
  }
  // None for an empty field.
  std::optional<double> number(const std::string& column) const {
    const std::string digits = text(column);
    if (digits.empty() || digits == "nan" || digits == "NaN") return std::nullopt;
    double number = 0.0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc() || end != digits.data() + digits.size())
      throw std::invalid_argument(column + " is '" + digits.substr(0, 40) + "', which is no number");
    return number;
  }

 private:
  const std::map<std::string, std::size_t>& columns_;
  std::vector<std::string> fields_;
};

// GpuInfo is Python's text of a dictionary; of it the size of one GPU's memory is of use.
double gpu_memory_gib(const std::string& info) {
  constexpr std::string_view kKey = "'SizeInMiB': ";
  const std::size_t at = info.find(kKey);
  if (at == info.npos) return 0.0;
  double mib = 0.0;
  std::from_chars(info.data() + at + kKey.size(), info.data() + info.size(), mib);
  return mib > 0.0 && mib < 1e9 ? mib / 1024.0 : 0.0;
}

std::optional<double> per_gpu(const Record& record, const char* column, double gpus) {
  const auto price = record.number(column);
  if (!price) return std::nullopt;
  try {
    check_listed_price(*price / gpus, "USD");
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string(column) + ": " + error.what());
  }
  return *price / gpus;
}

// None for an instance without an accelerator.
std::optional<PriceRow> row_of(const Record& record) {
  PriceRow row;
  row.gpu_type = record.text("AcceleratorName");
  if (row.gpu_type.empty()) return std::nullopt;
  const double gpus = record.number("AcceleratorCount").value_or(0.0);
  if (!(gpus > 0.0) || gpus > 1e6) throw std::invalid_argument("AcceleratorCount must be a number above 0");
  row.instance_type = record.text("InstanceType");
  row.region = record.text("Region");
  row.gpu_memory_gib = gpu_memory_gib(record.text("GpuInfo"));
  row.on_demand = per_gpu(record, "Price", gpus);
  row.spot = per_gpu(record, "SpotPrice", gpus);
  if (!row.on_demand && !row.spot) throw std::invalid_argument("it has neither a Price nor a SpotPrice");
  return row;
}

std::map<std::string, std::size_t> columns_of(const PriceFile& file, std::string_view line) {
  const auto names = split_record(line);
  std::map<std::string, std::size_t> columns;
  for (std::size_t i = 0; names && i < names->size(); ++i) columns.emplace((*names)[i], i);
  for (const char* needed : {"AcceleratorName", "AcceleratorCount", "Price"}) {
    if (!columns.contains(needed)) {
      refuse_price_row(file, 1,
                       std::string("it names no column ") + needed +
                           "; a table has SkyPilot's columns InstanceType,AcceleratorName,AcceleratorCount,"
                           "vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice, or is ours and called NAME.toml");
    }
  }
  return columns;
}

}  // namespace

std::vector<PriceRow> read_price_csv(const PriceFile& file) {
  std::vector<PriceRow> rows;
  std::map<std::string, std::size_t> columns;
  std::size_t number_of_columns = 0;
  std::size_t number = 0;
  for (std::string_view rest = file.text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number;
    if (number == 1) {
      if (line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
      columns = columns_of(file, line);
      number_of_columns = split_record(line)->size();
      continue;
    }
    if (line.empty()) continue;
    auto fields = split_record(line);
    if (!fields) refuse_price_row(file, number, "a quote in it is not closed");
    if (fields->size() != number_of_columns) {
      refuse_price_row(file, number,
                       "it has " + std::to_string(fields->size()) + " fields; the first line names " +
                           std::to_string(number_of_columns));
    }
    try {
      if (auto row = row_of(Record(columns, std::move(*fields)))) {
        row->source = file.name + ":" + std::to_string(number);
        row->date = file.date;
        rows.push_back(std::move(*row));
      }
    } catch (const std::invalid_argument& error) {
      refuse_price_row(file, number, error.what());
    }
  }
  return rows;
}

}  // namespace lockstep
