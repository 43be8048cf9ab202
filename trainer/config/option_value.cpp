#include "trainer/config/option_value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <stdexcept>

namespace lockstep {
namespace {

template <class Number>
std::optional<Number> parse_number(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

std::string number_text(double number) {
  std::array<char, 64> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), number);
  std::string result(text.data(), end);
  // A TOML number without either would be read as an integer.
  return result.find_first_of(".en") == std::string::npos ? result + ".0" : result;
}

// Length of the UTF-8 sequence that starts with `lead`, or 0.
std::size_t sequence_length(unsigned char lead) {
  if (lead < 0x80) {
    return 1;
  }
  if (lead >= 0xc2 && lead < 0xe0) {
    return 2;
  }
  if (lead >= 0xe0 && lead < 0xf0) {
    return 3;
  }
  return lead >= 0xf0 && lead < 0xf5 ? 4 : 0;
}

bool is_printable_line(const std::string& text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const std::size_t length = sequence_length(lead);
    if (lead < ' ' || lead == 0x7f || length == 0 || i + length > text.size()) {
      return false;
    }
    for (std::size_t j = 1; j < length; ++j) {
      if ((static_cast<unsigned char>(text[i + j]) & 0xc0) != 0x80) {
        return false;
      }
    }
    i += length;
  }
  return true;
}

}  // namespace

std::string quoted(std::string text) {
  constexpr std::size_t kLongestQuote = 60;
  if (text.size() > kLongestQuote) {
    text = text.substr(0, kLongestQuote) + "...";
  }
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
  return "\"" + text + "\"";
}

Rule true_or_false() {
  return {"true or false", [](const OptionValue& value) { return std::holds_alternative<bool>(value); }};
}

Rule integer_between(std::int64_t least, std::int64_t most) {
  const std::string upper =
      most == std::numeric_limits<std::int64_t>::max() ? "2^63-1" : std::to_string(most);
  return {"a whole number from " + std::to_string(least) + " to " + upper, [=](const OptionValue& value) {
            const auto* number = std::get_if<std::int64_t>(&value);
            return number != nullptr && *number >= least && *number <= most;
          }};
}

Rule number_above_zero(double most) {
  constexpr double kWholeNumbers = 1e15;  // written as such; larger ones with an exponent
  const bool bounded = most < std::numeric_limits<double>::max();
  const std::string upper =
      most < kWholeNumbers ? std::to_string(static_cast<std::int64_t>(most)) : number_text(most);
  return {bounded ? "a number above 0, at most " + upper : "a number above 0", [=](const OptionValue& value) {
            const auto* number = std::get_if<double>(&value);
            return number != nullptr && *number > 0 && *number <= most;  // false for NaN and infinity
          }};
}

Rule number_not_negative() {
  return {"a number, 0 or above", [](const OptionValue& value) {
            const auto* number = std::get_if<double>(&value);
            return number != nullptr && std::isfinite(*number) && *number >= 0;
          }};
}

Rule number_from_zero_below_one() {
  return {"a number of at least 0 and below 1", [](const OptionValue& value) {
            const auto* number = std::get_if<double>(&value);
            return number != nullptr && *number >= 0 && *number < 1;
          }};
}

Rule number_from_zero_to_one() {
  return {"a number from 0 to 1", [](const OptionValue& value) {
            const auto* number = std::get_if<double>(&value);
            return number != nullptr && *number >= 0 && *number <= 1;
          }};
}

Rule one_of(std::vector<std::string> choices, const std::string& remark) {
  std::string allowed = "one of ";
  for (const std::string& choice : choices) {
    allowed += (&choice == &choices.front() ? "" : ", ") + choice;
  }
  return {allowed + (remark.empty() ? "" : " (" + remark + ")"),
          [choices = std::move(choices)](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && std::find(choices.begin(), choices.end(), *text) != choices.end();
          }};
}

Rule any_line() {
  return {"one line of UTF-8 text", [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && is_printable_line(*text);
          }};
}

Rule some_line() {
  return {"one line of UTF-8 text, not empty", [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && !text->empty() && is_printable_line(*text);
          }};
}

void refuse_value(const std::string& name, const Rule& rule, const std::string& text) {
  throw std::invalid_argument(name + ": " + quoted(text) + " is not possible; it must be " + rule.allowed);
}

void check_value(const std::string& name, const Rule& rule, const OptionValue& value) {
  if (!rule.accepts(value)) {
    refuse_value(name, rule, to_text(value));
  }
}

OptionValue parse_value(const std::string& name, OptionKind kind, const Rule& rule, const std::string& text) {
  std::optional<OptionValue> value;
  switch (kind) {
    case OptionKind::kSwitch:
      if (text == "true" || text == "false") {
        value = text == "true";
      }
      break;
    case OptionKind::kInteger:
      value = parse_number<std::int64_t>(text);
      break;
    case OptionKind::kNumber:
      value = parse_number<double>(text);
      break;
    case OptionKind::kText:
      value = text;
      break;
  }
  if (!value || !rule.accepts(*value)) {
    refuse_value(name, rule, text);
  }
  return *value;
}

std::string to_text(const OptionValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) {
    return *flag ? "true" : "false";
  }
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return std::to_string(*integer);
  }
  if (const auto* number = std::get_if<double>(&value)) {
    return number_text(*number);
  }
  return std::get<std::string>(value);
}

}  // namespace lockstep
