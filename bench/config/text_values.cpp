#include "bench/config/text_values.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <stdexcept>

namespace lockstep {
namespace {

constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;
constexpr std::int64_t kLargestSize = std::int64_t{1} << 31;

// A whole number from 1 to `most`, the whole text used up.
std::optional<std::int64_t> positive(std::string_view text, std::int64_t most) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && number >= 1 && number <= most ? std::optional(number) : std::nullopt;
}

std::optional<std::int64_t> read_byte_size(std::string_view text) {
  std::int64_t unit = 1;
  if (!text.empty()) {
    switch (text.back()) {
      case 'K':
      case 'k':
        unit = std::int64_t{1} << 10;
        break;
      case 'M':
      case 'm':
        unit = std::int64_t{1} << 20;
        break;
      case 'G':
      case 'g':
        unit = std::int64_t{1} << 30;
        break;
      default:
        break;
    }
  }
  if (unit > 1) text.remove_suffix(1);
  const auto number = positive(text, kMostBytes / unit);
  return number ? std::optional(*number * unit) : std::nullopt;
}

std::optional<std::vector<std::int64_t>> read_sizes(const std::string& text) {
  std::vector<std::int64_t> sizes;
  for (const std::string& word : split_list(text)) {
    const auto size = positive(word, kLargestSize);
    if (!size) return std::nullopt;
    sizes.push_back(*size);
  }
  return sizes.empty() ? std::nullopt : std::optional(sizes);
}

}  // namespace

std::int64_t parse_byte_size(const std::string& text) {
  const auto size = read_byte_size(text);
  if (!size) refuse_value("size", byte_size(), text);
  return *size;
}

Rule byte_size() {
  return {"a number of bytes from 1 to 1024G, such as 4, 64K or 100M (powers of 1024)",
          [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && read_byte_size(*text).has_value();
          }};
}

std::vector<std::string> split_list(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t begin = 0; begin < text.size() + (text.empty() ? 0 : 1);) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

Rule list_of(std::vector<std::string> known) {
  std::string allowed = "some of ";
  for (const std::string& word : known) allowed += (&word == &known.front() ? "" : ", ") + word;
  return {allowed + ", with commas between them and each at most once",
          [known = std::move(known)](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            if (text == nullptr) return false;
            std::set<std::string> seen;
            const auto words = split_list(*text);
            return std::all_of(words.begin(), words.end(), [&](const std::string& word) {
              return std::find(known.begin(), known.end(), word) != known.end() && seen.insert(word).second;
            });
          }};
}

std::vector<std::int64_t> parse_sizes(const std::string& text) {
  const auto sizes = read_sizes(text);
  if (!sizes) refuse_value("sizes", list_of_sizes(), text);
  return *sizes;
}

Rule list_of_sizes() {
  return {"whole numbers from 1 with commas between them, such as 512,512", [](const OptionValue& value) {
            const auto* text = std::get_if<std::string>(&value);
            return text != nullptr && read_sizes(*text).has_value();
          }};
}

}  // namespace lockstep
