#include "trainer/metrics/number_format.h"

#include <cmath>
#include <cstdio>

#include "trainer/cost/spend.h"

namespace lockstep {
namespace {

template <typename... Values>
std::string print(const char* format, Values... values) {
  char text[400];  // the largest double has 309 digits before the point
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

}  // namespace

std::string format_duration(double seconds) {
  if (!(seconds >= 0.0) || seconds > 1e15) return "-";
  const long long whole = std::llround(seconds);
  const long long hours = whole / 3600;
  const long long minutes = whole / 60 % 60;
  if (hours > 0) return print("%lld:%02lld:%02lld", hours, minutes, whole % 60);
  return print("%lld:%02lld", minutes, whole % 60);
}

std::string format_count(std::int64_t count) {
  return with_thousands(std::to_string(count));
}

std::string format_loss(double loss) {
  const double size = std::abs(loss);
  const bool is_plain = size == 0.0 || (size >= 1e-3 && size < 1e5) || !std::isfinite(loss);
  return print(is_plain ? "%.4f" : "%.1e", loss);
}

std::string format_rate(double samples_per_s) {
  if (std::isfinite(samples_per_s) && std::abs(samples_per_s) >= 100.0 && std::abs(samples_per_s) < 1e15) {
    return format_count(std::llround(samples_per_s)) + " samples/s";
  }
  return print("%.1f samples/s", samples_per_s);
}

std::string format_bytes(double bytes) {
  constexpr double kMib = 1 << 20;
  constexpr double kGib = 1 << 30;
  return bytes >= kGib ? print("%.2f GiB", bytes / kGib) : print("%.1f MiB", bytes / kMib);
}

}  // namespace lockstep
