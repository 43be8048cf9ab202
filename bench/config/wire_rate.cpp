#include "bench/config/wire_rate.h"

#include <charconv>
#include <optional>
#include <string_view>

namespace lockstep {
namespace {

constexpr double kSlowest = 1e6;
constexpr double kFastest = 400e9;

std::optional<double> read_rate(std::string_view text) {
  if (text == "unshaped") return 0.0;
  double unit = 0.0;
  for (const auto& [name, bits] : {std::pair("gbit", 1e9), std::pair("mbit", 1e6)}) {
    if (text.ends_with(name)) unit = bits;
  }
  if (unit == 0.0) return std::nullopt;
  text.remove_suffix(4);
  int count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  const double rate = count * unit;
  return rate >= kSlowest && rate <= kFastest ? std::optional(rate) : std::nullopt;
}

}  // namespace

bool is_wire_rate(const std::string& text) {
  return read_rate(text).has_value();
}

Rule wire_rate() {
  return {"unshaped, or a rate from 1mbit to 400gbit, such as 10gbit", [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && is_wire_rate(*text);
          }};
}

double wire_bits_per_s(const std::string& text) {
  const auto rate = read_rate(text);
  if (!rate) refuse_value("wire", wire_rate(), text);
  return *rate;
}

}  // namespace lockstep
