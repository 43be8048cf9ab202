// A report is one JSON object: {"rank":1,"code":3,"message":"..."}, and "peer" where one is to blame. Readers
// trust nothing in it.
#include "trainer/run_dir/exit_code.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>

#include "trainer/run_dir/atomic_file.h"

namespace lockstep {
namespace {

constexpr std::size_t kLongestMessage = 4096;       // bytes
constexpr std::uintmax_t kLargestReport = 1 << 16;  // bytes
constexpr int kMostRanks = 1 << 20;

// One line without control characters, so that a report cannot write on the launcher's terminal.
std::string to_one_line(std::string message) {
  message.resize(std::min(message.size(), kLongestMessage));
  std::replace_if(
      message.begin(), message.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  return message;
}

bool is_exit_code(int code) {
  switch (static_cast<ExitCode>(code)) {
    case ExitCode::kFinished:
    case ExitCode::kDifference:
    case ExitCode::kUsage:
    case ExitCode::kBadInput:
    case ExitCode::kPaused:
    case ExitCode::kPeerFailed:
    case ExitCode::kBudget:
      return true;
  }
  return false;
}

std::filesystem::path report_file(const std::filesystem::path& dir, int rank) {
  return dir / ("rank-" + std::to_string(rank) + ".json");
}

std::optional<ExitReport> read_report_file(const std::filesystem::path& file) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(file, error);
  if (error || size > kLargestReport) {
    return std::nullopt;
  }
  std::ifstream stream(file);
  const auto json = nlohmann::json::parse(stream, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("rank") || !json["rank"].is_number_unsigned() ||
      !json.contains("code") || !json["code"].is_number_unsigned() || !json.contains("message") ||
      !json["message"].is_string()) {
    return std::nullopt;
  }
  const auto rank = json["rank"].get<std::uint64_t>();
  const auto code = json["code"].get<std::uint64_t>();
  if (rank >= kMostRanks || code > 255 || !is_exit_code(static_cast<int>(code)) ||
      file.filename() != report_file("", static_cast<int>(rank)).filename()) {
    return std::nullopt;
  }
  const auto peer = json.value("peer", nlohmann::json());
  const bool has_peer = peer.is_number_unsigned() && peer.get<std::uint64_t>() < kMostRanks;
  return ExitReport{static_cast<int>(rank), static_cast<ExitCode>(code),
                    to_one_line(json["message"].get<std::string>()), has_peer ? peer.get<int>() : -1};
}

}  // namespace

std::filesystem::path exit_report_dir() {
  const char* dir = std::getenv("LOCKSTEP_EXIT_DIR");
  return dir == nullptr ? std::filesystem::path() : std::filesystem::path(dir);
}

bool write_exit_report(const std::filesystem::path& dir, const ExitReport& report) noexcept {
  try {
    nlohmann::json json = {{"rank", report.rank},
                           {"code", static_cast<int>(report.code)},
                           {"message", to_one_line(report.message)}};
    if (report.peer >= 0) json["peer"] = report.peer;
    // A message may quote bytes of a damaged file: what is no UTF-8 is replaced rather than refused.
    constexpr auto kReplace = nlohmann::json::error_handler_t::replace;
    write_file_atomically(report_file(dir, report.rank), json.dump(-1, ' ', false, kReplace) + "\n");
    return true;
  } catch (...) {
    return false;
  }
}

std::optional<ExitReport> read_exit_report(const std::filesystem::path& dir, int rank) {
  return read_report_file(report_file(dir, rank));
}

std::vector<ExitReport> read_exit_reports(const std::filesystem::path& dir) {
  std::vector<ExitReport> reports;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(dir, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("rank-") && name.ends_with(".json")) {
      if (auto report = read_report_file(entry.path())) {
        reports.push_back(std::move(*report));
      }
    }
  }
  std::sort(reports.begin(), reports.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
  return reports;
}

}  // namespace lockstep
