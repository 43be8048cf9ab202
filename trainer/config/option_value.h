// The value of one option, as text and as a typed value, and the rules that values have to keep.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <variant>
#include <vector>

namespace lockstep {

// The order is that of OptionKind.
using OptionValue = std::variant<bool, std::int64_t, double, std::string>;
enum class OptionKind { kSwitch, kInteger, kNumber, kText };

// What values an option takes, for a person (`allowed` follows "must be") and for the parser.
struct Rule {
  std::string allowed;
  std::function<bool(const OptionValue&)> accepts;
};

// Bounds that bound nothing.
inline constexpr std::int64_t kMostInt64 = std::numeric_limits<std::int64_t>::max();
inline constexpr double kUnbounded = std::numeric_limits<double>::max();

Rule true_or_false();
Rule integer_between(std::int64_t least, std::int64_t most);
Rule number_above_zero(double most);
Rule number_not_negative();
Rule number_from_zero_below_one();
Rule number_from_zero_to_one();
Rule one_of(std::vector<std::string> choices, const std::string& remark = {});
// Text of one printable line in UTF-8; possibly empty.
Rule any_line();
// The same, but not empty.
Rule some_line();

// Text to value; the whole text has to be used up ("12x" is refused). `name` says where the text was found,
// for example "--lr". Throws std::invalid_argument: name, text, and what would be right.
OptionValue parse_value(const std::string& name, OptionKind kind, const Rule& rule, const std::string& text);
// Throws the same if the rule refuses a value that is already typed.
void check_value(const std::string& name, const Rule& rule, const OptionValue& value);
[[noreturn]] void refuse_value(const std::string& name, const Rule& rule, const std::string& text);

// What a person typed, for an error message: in quotes, cut short, unprintable bytes replaced.
std::string quoted(std::string text);

// The shortest text that parses to exactly the same value. Numbers always carry a point or an exponent.
std::string to_text(const OptionValue& value);

}  // namespace lockstep
