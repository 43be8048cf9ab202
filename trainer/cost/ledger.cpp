#include "trainer/cost/ledger.h"

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

constexpr std::size_t kLongestLine = 4096;
constexpr std::uintmax_t kLargestFile = std::uintmax_t{1} << 30;

std::string to_line(const LedgerRecord& record) {
  const nlohmann::ordered_json line = {{"attempt", record.attempt},
                                       {"start_unix_s", record.start_unix_s},
                                       {"running_s", record.running_s},
                                       {"gpus", record.gpus},
                                       {"price_per_gpu_hour", record.price_per_gpu_hour},
                                       {"currency", record.currency},
                                       {"closed", record.closed},
                                       {"reason", record.reason}};
  // Bytes that are no UTF-8 are replaced rather than refused: a record must never be lost to its reason's
  // spelling.
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <typename Number>
Number number_in(const nlohmann::json& line, const char* key, Number smallest) {
  const nlohmann::json& value = line.at(key);
  const double number = value.get<double>();
  const bool fits = std::isfinite(number) && number >= static_cast<double>(smallest) &&
                    number <= static_cast<double>(std::numeric_limits<Number>::max());
  if (!fits || (std::is_integral_v<Number> && !value.is_number_integer())) {
    throw DataError(std::string("its ") + key + " is out of range");
  }
  return value.get<Number>();
}

LedgerRecord from_line(const std::string& text) {
  if (text.size() > kLongestLine) throw DataError("it is longer than any record");
  try {
    const nlohmann::json line = nlohmann::json::parse(text);
    LedgerRecord record{.attempt = number_in<int>(line, "attempt", 1),
                        .start_unix_s = number_in<double>(line, "start_unix_s", 0.0),
                        .running_s = number_in<double>(line, "running_s", 0.0),
                        .gpus = number_in<int>(line, "gpus", 1),
                        .price_per_gpu_hour = number_in<double>(line, "price_per_gpu_hour", 0.0),
                        .currency = line.at("currency").get<std::string>(),
                        .closed = line.at("closed").get<bool>(),
                        .reason = line.at("reason").get<std::string>()};
    check_price({record.price_per_gpu_hour, record.currency});
    return record;
  } catch (const nlohmann::json::exception&) {
    throw DataError("it is no JSON object with a record's fields");
  } catch (const std::invalid_argument& error) {
    throw DataError(error.what());
  }
}

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::vector<LedgerRecord> read_ledger(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) return {};
  const std::uintmax_t bytes = error ? 0 : std::filesystem::file_size(file, error);
  if (error) throw DataError(file.string() + ": cannot be read (" + error.message() + ")");
  if (bytes > kLargestFile) throw DataError(file.string() + ": is larger than 1 GiB, which no ledger is");
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

int last_attempt(const std::vector<LedgerRecord>& records) {
  return records.empty() ? 0 : records.back().attempt;
}

LedgerTotal total_of(const std::vector<LedgerRecord>& records) {
  LedgerTotal total;
  for (const LedgerRecord& record : records) {
    const Spend spend = spend_of({record.price_per_gpu_hour, record.currency}, record.gpus, record.running_s);
    total.gpu_hours += spend.gpu_hours;
    if (spend.amount) {
      total.amounts[record.currency] += *spend.amount;
    } else {
      total.unpriced_gpu_hours += spend.gpu_hours;
    }
  }
  return total;
}

EarlierSpend earlier_spend(const std::vector<LedgerRecord>& records, const Price& price) {
  const std::string& currency = price.currency;
  const LedgerTotal total = total_of(records);
  EarlierSpend earlier{.spend = {.gpu_hours = total.gpu_hours, .amount = {}, .currency = currency},
                       .remark = {}};
  std::string left_out;
  for (const auto& [other, amount] : total.amounts) {
    if (other == currency) {
      earlier.spend.amount = amount;
    } else {
      left_out += (left_out.empty() ? "" : " and ") + format_money(amount, other);
    }
  }
  if (total.unpriced_gpu_hours > 0.0 && (price.is_known() || !total.amounts.empty())) {
    const Spend unpriced{.gpu_hours = total.unpriced_gpu_hours, .amount = {}, .currency = currency};
    left_out += (left_out.empty() ? "" : " and ") + format_spend(unpriced) + " without a price";
  }
  if (!left_out.empty()) {
    earlier.remark =
        "the spend in " + currency + " leaves out " + left_out + " of earlier attempts (ledger.jsonl)";
  }
  return earlier;
}

LedgerWriter::LedgerWriter(const std::filesystem::path& file, int attempt, const CostMeter& meter, Warn warn,
                           std::chrono::milliseconds heartbeat)
    : file_(file), meter_(meter), warn_(std::move(warn)) {
  record_.attempt = attempt;
  record_.start_unix_s = unix_seconds() - meter.running_s();
  record_.gpus = meter.gpus();
  record_.price_per_gpu_hour = meter.price().per_gpu_hour;
  record_.currency = meter.price().currency;
  record_.running_s = meter.running_s();
  file_.append(to_line(record_));
  file_.sync();
  heartbeat_ = std::thread([this, heartbeat] {
    std::unique_lock lock(mutex_);
    while (!stopped_.wait_for(lock, heartbeat, [this] { return stopping_; })) write_record();
  });
}

LedgerWriter::~LedgerWriter() {
  stop();
}

void LedgerWriter::close(const std::string& reason) {
  stop();
  if (record_.closed) return;
  record_.closed = true;
  record_.reason = reason;
  write_record();
}

void LedgerWriter::write_record() {
  record_.running_s = meter_.running_s();
  try {
    file_.append(to_line(record_));
    file_.sync();
  } catch (const DataError& error) {
    if (!std::exchange(warned_, true))
      warn_(std::string(error.what()) + "; what the run costs may go unrecorded");
  }
}

void LedgerWriter::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_all();
  if (heartbeat_.joinable()) heartbeat_.join();
}

}  // namespace lockstep
