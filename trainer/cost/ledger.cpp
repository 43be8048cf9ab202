#include "trainer/cost/ledger.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kLongestLine = 4096;
constexpr std::uintmax_t kLargestLedger = std::uintmax_t{1} << 30;

template <typename Number>
Number number_in(const Json& line, const char* key, Number smallest) {
  const Json& value = line.at(key);
  const double number = value.get<double>();
  const bool fits = std::isfinite(number) && number >= static_cast<double>(smallest) &&
                    number <= static_cast<double>(std::numeric_limits<Number>::max());
  if (!fits || (std::is_integral_v<Number> && !value.is_number_integer())) {
    throw DataError(std::string("its ") + key + " is out of range");
  }
  return value.get<Number>();
}

// Of a field that older ledgers lack.
double number_or_0(const Json& line, const char* key) {
  return line.contains(key) ? number_in<double>(line, key, 0.0) : 0.0;
}
std::string text_or_none(const Json& line, const char* key) {
  return line.contains(key) ? line.at(key).get<std::string>() : std::string();
}

RunPartTimes parts_in(const Json& line) {
  RunPartTimes parts;
  if (!line.contains("parts_s")) return parts;
  for (int i = 0; i < kRunPartCount; ++i) {
    const auto part = static_cast<RunPart>(i);
    parts[part] = number_or_0(line.at("parts_s"), run_part_name(part));
  }
  return parts;
}

LedgerRecord from_line(const std::string& text) {
  if (text.size() > kLongestLine) throw DataError("it is longer than any record");
  try {
    const Json line = Json::parse(text);
    LedgerRecord record{
        .attempt = number_in<int>(line, "attempt", 1),
        .start_unix_s = number_in<double>(line, "start_unix_s", 0.0),
        .running_s = number_in<double>(line, "running_s", 0.0),
        .gpus = number_in<int>(line, "gpus", 1),
        .price_per_gpu_hour = number_in<double>(line, "price_per_gpu_hour", 0.0),
        .currency = line.at("currency").get<std::string>(),
        .closed = line.at("closed").get<bool>(),
        .reason = line.at("reason").get<std::string>(),
        .launch = text_or_none(line, "launch"),
        .end_unix_s = number_or_0(line, "end_unix_s"),
        .boot = text_or_none(line, "boot"),
        .boot_s = number_or_0(line, "boot_s"),
        .billing = {.granularity_s = number_or_0(line, "billing_granularity_s"),
                    .minimum_s = number_or_0(line, "billing_minimum_s"),
                    .pause_stops_billing =
                        !line.contains("pause_stops_billing") || line.at("pause_stops_billing").get<bool>()},
        .storage = {.gb = number_or_0(line, "storage_gb"),
                    .price_per_gb_month = number_or_0(line, "storage_price_per_gb_month")},
        .step = line.contains("step") ? number_in<std::int64_t>(line, "step", 0) : 0,
        .parts = parts_in(line),
        .gpu_type = text_or_none(line, "gpu_type"),
        .price_source = text_or_none(line, "price_source"),
        .next_ranks = line.contains("next_ranks") ? number_in<int>(line, "next_ranks", 0) : 0};
    record.leaving_s = number_or_0(line, "leaving_s");
    if (record.end_unix_s == 0.0) record.end_unix_s = record.start_unix_s + record.running_s;
    check_price(record.price());
    return record;
  } catch (const Json::exception&) {
    throw DataError("it is no JSON object with a record's fields");
  } catch (const std::invalid_argument& error) {
    throw DataError(error.what());
  }
}

}  // namespace

std::string to_line(const LedgerRecord& record) {
  Json line = {{"attempt", record.attempt},
               {"start_unix_s", record.start_unix_s},
               {"running_s", record.running_s},
               {"gpus", record.gpus},
               {"price_per_gpu_hour", record.price_per_gpu_hour},
               {"currency", record.currency},
               {"closed", record.closed},
               {"reason", record.reason},
               {"launch", record.launch},
               {"end_unix_s", record.end_unix_s},
               {"boot", record.boot},
               {"boot_s", record.boot_s},
               {"billing_granularity_s", record.billing.granularity_s},
               {"billing_minimum_s", record.billing.minimum_s},
               {"pause_stops_billing", record.billing.pause_stops_billing},
               {"storage_gb", record.storage.gb},
               {"storage_price_per_gb_month", record.storage.price_per_gb_month},
               {"step", record.step},
               {"parts_s", Json::object()},
               {"gpu_type", record.gpu_type},
               {"price_source", record.price_source}};
  for (int i = 0; i < kRunPartCount; ++i) {
    const auto part = static_cast<RunPart>(i);
    line["parts_s"][run_part_name(part)] = record.parts[part];
  }
  if (record.next_ranks > 0) line["next_ranks"] = record.next_ranks;
  if (record.leaving_s > 0.0) line["leaving_s"] = record.leaving_s;
  // Bytes that are no UTF-8 are replaced rather than refused: a record must never be lost to its reason's
  // spelling.
  return line.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::vector<LedgerRecord> read_ledger(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) return {};
  const std::uintmax_t bytes = error ? 0 : std::filesystem::file_size(file, error);
  if (error) throw DataError(file.string() + ": cannot be read (" + error.message() + ")");
  if (bytes > kLargestLedger) throw DataError(file.string() + ": is larger than 1 GiB, which no ledger is");
  std::ifstream input(file, std::ios::binary);
  if (!input) throw DataError(file.string() + ": cannot be opened (" + std::strerror(errno) + ")");
  std::map<int, LedgerRecord> last_records;
  std::string text;
  for (std::int64_t number = 1; std::getline(input, text) && !input.eof(); ++number) {
    try {
      LedgerRecord record = from_line(text);
      last_records[record.attempt] = std::move(record);
    } catch (const DataError& reason) {
      throw DataError(
          file.string() + ": line " + std::to_string(number) + " cannot be used: " + reason.what() +
          "; put the file right or move it away, and with it the record of what the run has cost");
    }
  }
  if (input.bad()) throw DataError(file.string() + ": could not be read to its end");
  std::vector<LedgerRecord> records;
  for (auto& [attempt, record] : last_records) records.push_back(std::move(record));
  return records;
}

int decided_ranks(const std::vector<LedgerRecord>& records) {
  const auto last = std::find_if(records.rbegin(), records.rend(),
                                 [](const LedgerRecord& record) { return record.next_ranks > 0; });
  return last == records.rend() ? 0 : last->next_ranks;
}

int last_attempt(const std::vector<LedgerRecord>& records) {
  return records.empty() ? 0 : records.back().attempt;
}

double longest_leaving_s(const std::vector<LedgerRecord>& records) {
  double longest = 0.0;
  for (const LedgerRecord& record : records) longest = std::max(longest, record.leaving_s);
  return longest;
}

}  // namespace lockstep
