#include "trainer/bill/team_ledger.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <vector>

#include "sampler/data_error.h"
#include "trainer/cost/spend.h"
#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uintmax_t kLargestFile = 64 << 20;

struct Line {
  std::string month;
  std::string run;
  int attempt = 1;
  double amount = 0.0;
  std::string currency;
};

std::string month_of(double unix_s) {
  const auto seconds = static_cast<std::time_t>(unix_s);
  std::tm day{};
  gmtime_r(&seconds, &day);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m", &day);
  return text;
}

// Held until it is destroyed; the kernel releases it when the process dies.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& file)
      : fd_(open((file.string() + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (fd_ < 0)
      throw DataError("budget ledger " + file.string() + ".lock cannot be made (" + std::strerror(errno) +
                      ")");
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (std::chrono::steady_clock::now() > deadline) {
        close(fd_);
        throw DataError("budget ledger " + file.string() + " has been locked by another process for 10 s");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  ~FileLock() { close(fd_); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

Line line_of(const std::string& text) {
  const Json json = Json::parse(text);
  Line line{json.at("month").get<std::string>(), json.at("run").get<std::string>(),
            json.at("attempt").get<int>(), json.at("amount").get<double>(),
            json.at("currency").get<std::string>()};
  if (!std::isfinite(line.amount) || line.amount < 0.0) throw DataError("its amount is out of range");
  return line;
}

std::vector<Line> read_lines(const std::filesystem::path& file) {
  std::error_code error;
  if (!std::filesystem::exists(file, error) && !error) return {};
  const std::uintmax_t bytes = std::filesystem::file_size(file, error);
  if (error) throw DataError("budget ledger " + file.string() + " cannot be read (" + error.message() + ")");
  if (bytes > kLargestFile) throw DataError("budget ledger " + file.string() + " is larger than 64 MiB");
  std::ifstream input(file, std::ios::binary);
  std::vector<Line> lines;
  std::string text;
  while (std::getline(input, text)) {
    try {
      lines.push_back(line_of(text));
    } catch (const std::exception&) {
      throw DataError("budget ledger " + file.string() + ": line " + std::to_string(lines.size() + 1) +
                      " is no object with month, run, attempt, amount and currency; put it right, or "
                      "move the file away, and with it the record of what was spent");
    }
  }
  return lines;
}

void write_lines(const std::filesystem::path& file, const std::vector<Line>& lines) {
  std::string text;
  for (const Line& line : lines) {
    const Json json = {{"month", line.month},
                       {"run", line.run},
                       {"attempt", line.attempt},
                       {"amount", line.amount},
                       {"currency", line.currency}};
    text += json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  }
  try {
    write_file_atomically(file, text);
  } catch (const std::filesystem::filesystem_error& error) {
    throw DataError("budget ledger " + file.string() + " cannot be written (" + error.code().message() + ")");
  }
}

std::string to_text(const std::map<std::string, double>& amounts) {
  std::string text;
  for (const auto& [currency, amount] : amounts)
    text += (text.empty() ? "" : " and ") + format_money(amount, currency);
  return text;
}

}  // namespace

TeamLedger::TeamLedger(std::filesystem::path file, std::string run, int attempt, std::string currency)
    : file_(std::move(file)), run_(std::move(run)), attempt_(attempt), currency_(std::move(currency)) {}

double TeamLedger::exchange(double amount, double unix_s) {
  const std::string month = month_of(unix_s);
  if (month != month_) before_month_ = month_.empty() ? 0.0 : last_amount_;
  month_ = month;
  last_amount_ = amount;
  const FileLock lock(file_);
  std::vector<Line> lines = read_lines(file_);
  Line* own = nullptr;
  double others = 0.0;
  std::map<std::string, double> other_currencies;
  for (Line& line : lines) {
    if (line.month != month_) continue;
    if (line.run == run_ && line.attempt == attempt_) {
      own = &line;
    } else if (line.currency == currency_) {
      others += line.amount;
    } else {
      other_currencies[line.currency] += line.amount;
    }
  }
  if (own == nullptr) own = &lines.emplace_back(Line{month_, run_, attempt_, 0.0, currency_});
  own->amount = std::max(0.0, amount - before_month_);
  own->currency = currency_;
  write_lines(file_, lines);
  left_out_ = to_text(other_currencies);
  return others;
}

double TeamLedger::spent(const std::filesystem::path& file, const std::string& currency, double unix_s) {
  double sum = 0.0;
  for (const Line& line : read_lines(file)) {
    if (line.month == month_of(unix_s) && line.currency == currency) sum += line.amount;
  }
  return sum;
}

std::vector<std::string> TeamLedger::runs(const std::filesystem::path& file) {
  std::vector<std::string> runs;
  const std::vector<Line> lines = read_lines(file);
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (std::find(runs.begin(), runs.end(), line->run) == runs.end()) runs.push_back(line->run);
  }
  return runs;
}

}  // namespace lockstep
