#include "bench/report/collective_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

namespace lockstep {
namespace {

constexpr double kMicro = 1e6;

// 3 to 4 digits of what lies between nanoseconds and seconds.
std::string microseconds(double seconds) {
  const double us = seconds * kMicro;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), us < 10 ? "%.2f" : us < 1000 ? "%.1f" : "%.0f", us);
  return text.data();
}

std::string bandwidth(double gb_per_s) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), gb_per_s < 1 ? "%.2g" : "%.2f", gb_per_s);
  return text.data();
}

std::string wrong_text(const CollectiveRow& row) {
  return row.wrong ? std::to_string(*row.wrong) : "N/A";
}

nlohmann::ordered_json spread_json(const Spread& spread, double unit) {
  return {{"min", spread.min * unit}, {"median", spread.median * unit}, {"max", spread.max * unit}};
}

}  // namespace

double CollectiveRow::algorithm_bandwidth() const {
  return static_cast<double>(bytes) / time_s.median / 1e9;
}

double CollectiveRow::bus_bandwidth() const {
  return wire_bytes / time_s.median / 1e9;
}

std::string collective_header() {
  std::array<char, 256> line{};
  std::string text;
  std::snprintf(line.data(), line.size(), "#%12s %12s %9s %6s %5s %6s  %-9s %9s %8s %8s %6s   %-19s %s\n",
                "size", "count", "type", "redop", "root", "in/out", "", "time", "algbw", "busbw", "#wrong",
                "time: min..max", "time / ours");
  text += line.data();
  std::snprintf(line.data(), line.size(), "#%12s %12s %9s %6s %5s %6s  %-9s %9s %8s %8s %6s   %-19s %s\n",
                "(B)", "(elements)", "", "", "", "", "", "(us)", "(GB/s)", "(GB/s)", "", "(us)",
                "median (min..max)");
  return text + line.data();
}

std::string format_row(const CollectiveRow& row) {
  std::array<char, 256> line{};
  std::snprintf(line.data(), line.size(), " %12lld %12lld %9s %6s %5d %6s  %-9s %9s %8s %8s %6s   %-19s ",
                static_cast<long long>(row.bytes), static_cast<long long>(row.count), row.dtype.c_str(),
                row.redop.c_str(), row.root, row.in_place ? "in" : "out", row.contender.c_str(),
                microseconds(row.time_s.median).c_str(), bandwidth(row.algorithm_bandwidth()).c_str(),
                bandwidth(row.bus_bandwidth()).c_str(), wrong_text(row).c_str(),
                (microseconds(row.time_s.min) + ".." + microseconds(row.time_s.max)).c_str());
  std::string text = line.data();
  if (row.over_ours) {
    std::snprintf(line.data(), line.size(), "%.2f (%.2f..%.2f)", row.over_ours->median, row.over_ours->min,
                  row.over_ours->max);
    text += line.data();
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text + "\n";
}

double harness_share(double harness_s, const std::vector<CollectiveRow>& rows) {
  double most = 0;
  for (const CollectiveRow& row : rows) most = std::max(most, harness_s / row.time_s.median);
  return most;
}

std::string format_harness(double harness_s, const std::vector<CollectiveRow>& rows) {
  std::array<char, 128> line{};
  std::snprintf(line.data(), line.size(),
                "# the harness is %.3f us of each of these times, %.2g %% at most\n", harness_s * kMicro,
                harness_share(harness_s, rows) * 100);
  return line.data();
}

std::string collective_json(const RunFacts& facts, const std::string& benchmark, double harness_s,
                            const std::vector<CollectiveRow>& rows) {
  auto json = nlohmann::ordered_json::parse(to_json_text(facts));
  json["benchmark"] = benchmark;
  json["harness_us"] = harness_s * kMicro;
  json["harness_share"] = harness_share(harness_s, rows);
  json["rows"] = nlohmann::ordered_json::array();
  for (const CollectiveRow& row : rows) {
    nlohmann::ordered_json entry = {{"contender", row.contender},
                                    {"size_bytes", row.bytes},
                                    {"count", row.count},
                                    {"type", row.dtype},
                                    {"redop", row.redop},
                                    {"in_place", row.in_place},
                                    {"operations", row.operations},
                                    {"time_us", spread_json(row.time_s, kMicro)},
                                    {"cpu_us", row.cpu_s * kMicro},
                                    {"algbw_gb_per_s", row.algorithm_bandwidth()},
                                    {"busbw_gb_per_s", row.bus_bandwidth()}};
    if (row.root >= 0) entry["root"] = row.root;
    if (row.wrong) entry["wrong"] = *row.wrong;
    if (row.over_ours) entry["time_over_ours"] = spread_json(*row.over_ours, 1.0);
    json["rows"].push_back(std::move(entry));
  }
  return json.dump(2) + "\n";
}

std::string collective_csv(const RunFacts& facts, const std::vector<CollectiveRow>& rows) {
  std::ostringstream csv;
  csv.precision(9);
  csv << describe(facts)
      << "contender,size_bytes,count,type,redop,root,in_place,time_us_min,time_us_median,time_us_max,algbw_"
         "gb_per_"
         "s,"
         "busbw_gb_per_s,wrong,time_over_ours_min,time_over_ours_median,time_over_ours_max\n";
  for (const CollectiveRow& row : rows) {
    csv << row.contender << ',' << row.bytes << ',' << row.count << ',' << row.dtype << ',' << row.redop
        << ',' << row.root << ',' << (row.in_place ? "true" : "false") << ',' << row.time_s.min * kMicro
        << ',' << row.time_s.median * kMicro << ',' << row.time_s.max * kMicro << ','
        << row.algorithm_bandwidth() << ',' << row.bus_bandwidth() << ','
        << (row.wrong ? std::to_string(*row.wrong) : "") << ',';
    if (row.over_ours)
      csv << row.over_ours->min << ',' << row.over_ours->median << ',' << row.over_ours->max;
    else
      csv << ",,";
    csv << '\n';
  }
  return csv.str();
}

std::int64_t count_wrong(const std::vector<CollectiveRow>& rows) {
  std::int64_t wrong = 0;
  for (const CollectiveRow& row : rows) wrong += row.wrong.value_or(0);
  return wrong;
}

}  // namespace lockstep
