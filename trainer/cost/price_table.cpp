#include "trainer/cost/price_table.h"

#include <time.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>

#include "sampler/data_error.h"
#include "sampler/nearest_name.h"
#include "trainer/cost/lower_case.h"
#include "trainer/cost/price_rows.h"

namespace lockstep {
namespace {

constexpr std::uintmax_t kLargestTable = 64 << 20;
constexpr std::size_t kNamesShown = 6;

std::string date_of(const std::filesystem::path& file) {
  const auto written = std::chrono::file_clock::to_sys(std::filesystem::last_write_time(file));
  const std::time_t seconds =
      std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(written));
  std::tm day{};
  gmtime_r(&seconds, &day);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%d", &day);
  return text;
}

std::string list(const std::set<std::string>& names) {
  std::string text;
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (count++ == kNamesShown) return text + ", ...";
    text += (text.empty() ? "" : ", ") + name;
  }
  return text;
}

// The nearest by spelling, and those that hold what was asked for or are held by it.
std::string near_names(const std::string& asked, const std::vector<PriceRow>& rows) {
  std::vector<std::string> all;
  for (const PriceRow& row : rows) all.push_back(row.gpu_type);
  std::set<std::string> near = {nearest_name(asked, all)};
  for (const std::string& name : all) {
    if (lower_case(name).find(lower_case(asked)) != name.npos ||
        lower_case(asked).find(lower_case(name)) != asked.npos)
      near.insert(name);
  }
  return list(near);
}

// The rows that `fits` keeps; `refuse` speaks of what the others have.
template <class Fits, class Value>
std::vector<PriceRow> narrowed(const std::vector<PriceRow>& rows, Fits fits, const std::string& problem,
                               Value value) {
  std::vector<PriceRow> kept;
  std::set<std::string> others;
  for (const PriceRow& row : rows) {
    if (fits(row)) kept.push_back(row);
    others.insert(value(row));
  }
  if (kept.empty()) throw std::invalid_argument(problem + list(others));
  return kept;
}

}  // namespace

[[noreturn]] void refuse_price_row(const PriceFile& file, std::size_t line, const std::string& reason) {
  throw DataError("price table " + file.name + ": line " + std::to_string(line) +
                  " cannot be used: " + reason);
}

void check_listed_price(double price, const std::string& currency) {
  const bool large_unit = currency == "USD" || currency == "EUR" || currency == "GBP";
  const double most = large_unit ? 1e3 : 1e6;
  if (std::isfinite(price) && price > 0.0 && price <= most) return;
  char text[64];
  std::snprintf(text, sizeof text, "%.12g", price);
  throw std::invalid_argument(std::string("a price of ") + text + " " + currency +
                              " per GPU-hour; it must be above 0 and at most " +
                              with_thousands(std::to_string(static_cast<long long>(most))));
}

std::vector<PriceRow> read_price_table(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error) throw DataError("price table " + file.string() + " cannot be read (" + error.message() + ")");
  if (bytes > kLargestTable) throw DataError("price table " + file.string() + " is larger than 64 MiB");
  std::ifstream input(file, std::ios::binary);
  PriceFile content{file.string(), date_of(file), std::string(bytes, '\0')};
  if (!input.read(content.text.data(), static_cast<std::streamsize>(bytes)))
    throw DataError("price table " + file.string() + " cannot be read");
  auto rows = file.extension() == ".toml" ? read_price_toml(content) : read_price_csv(content);
  if (rows.empty()) throw DataError("price table " + file.string() + " has no row with a GPU");
  return rows;
}

PriceAnswer find_price(const std::vector<PriceRow>& rows, const PriceQuestion& question) {
  const std::string& name = question.gpu_type;
  std::vector<PriceRow> found;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(found),
               [&](const PriceRow& row) { return lower_case(row.gpu_type) == lower_case(name); });
  if (found.empty()) {
    throw std::invalid_argument("the price table has no GPU " + name.substr(0, 40) + "; did you mean " +
                                near_names(name, rows) + "?");
  }
  if (!question.region.empty()) {
    found = narrowed(
        found,
        [&](const PriceRow& row) {
          return row.region.empty() || lower_case(row.region) == lower_case(question.region);
        },
        "the price table has no " + name + " in region " + question.region.substr(0, 40) + ", but in ",
        [](const PriceRow& row) { return row.region; });
  }
  found = narrowed(
      found, [&](const PriceRow& row) { return row.currency == question.currency; },
      "the price table has no price of " + name + " in " + question.currency + ", but in ",
      [](const PriceRow& row) { return row.currency; });
  const auto price = [&](const PriceRow& row) { return question.spot ? row.spot : row.on_demand; };
  found = narrowed(
      found, [&](const PriceRow& row) { return price(row).has_value(); },
      "the price table has no " + std::string(question.spot ? "spot" : "on-demand") + " price of " + name +
          ", but one ",
      [&](const PriceRow&) { return question.spot ? "on demand" : "on spot"; });
  const auto best = std::min_element(found.begin(), found.end(), [&](const PriceRow& a, const PriceRow& b) {
    return *price(a) < *price(b);
  });
  return {{*price(*best), best->currency}, *best};
}

std::filesystem::path installed_price_table(const std::filesystem::path& own_program) {
  return own_program.parent_path().parent_path() / "share" / "lockstep" / "prices.toml";
}

}  // namespace lockstep
