#include "trainer/cost/adaptive_ranks.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <stdexcept>
#include <string_view>

namespace lockstep {
namespace {

constexpr int kMostRanks = 1 << 24;
constexpr std::int64_t kLongestWindow = 1'000'000'000;

// The whole of `text`, beginning with a digit.
template <class Number>
std::optional<Number> number_of_text(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && text.front() >= '0' && text.front() <= '9' ? std::optional(number) : std::nullopt;
}

[[noreturn]] void refuse_rule(std::string_view rule) {
  throw std::invalid_argument("\"" + std::string(rule) +
                              "\" is no rule; it must be CONDITION:RANKS, the condition being loss<X, "
                              "loss<P% or plateau(STEPS,SHARE), such as loss<0.5:2 or plateau(500,0.01):1");
}

// Fills in what the condition says; false if it is none.
bool take_condition(std::string_view text, RanksRule& rule) {
  constexpr std::string_view kLoss = "loss<";
  constexpr std::string_view kPlateau = "plateau(";
  if (text.starts_with(kLoss)) {
    text.remove_prefix(kLoss.size());
    const bool share = text.ends_with('%');
    if (share) text.remove_suffix(1);
    const auto number = text.empty() ? std::nullopt : number_of_text<double>(text);
    if (!number || !(*number > 0.0) || !std::isfinite(*number) || (share && *number > 100.0)) return false;
    rule.kind = share ? RanksRule::Kind::kFallen : RanksRule::Kind::kBelow;
    rule.value = share ? *number / 100.0 : *number;
    return true;
  }
  const auto comma = text.find(',');
  if (!text.starts_with(kPlateau) || !text.ends_with(')') || comma == std::string_view::npos) return false;
  const std::string_view steps = text.substr(kPlateau.size(), comma - kPlateau.size());
  const std::string_view share = text.substr(comma + 1, text.size() - comma - 2);
  const auto window = steps.empty() ? std::nullopt : number_of_text<std::int64_t>(steps);
  const auto least = share.empty() ? std::nullopt : number_of_text<double>(share);
  if (!window || *window < 1 || *window > kLongestWindow || !least || !(*least >= 0.0 && *least < 1.0))
    return false;
  rule.kind = RanksRule::Kind::kPlateau;
  rule.window = *window;
  rule.value = *least;
  return true;
}

RanksRule parse_rule(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size()) refuse_rule(text);
  RanksRule rule;
  rule.text = std::string(text.substr(0, colon));
  const auto ranks = number_of_text<int>(text.substr(colon + 1));
  if (!take_condition(rule.text, rule) || !ranks || *ranks < 1 || *ranks > kMostRanks) refuse_rule(text);
  rule.ranks = *ranks;
  return rule;
}

int largest_divisor(int number, int at_most) {
  for (int divisor = std::min(number, at_most); divisor > 1; --divisor) {
    if (number % divisor == 0) return divisor;
  }
  return 1;
}

}  // namespace

std::vector<RanksRule> parse_adaptive_ranks(const std::string& text) {
  std::vector<RanksRule> rules;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ',';
    if (c == '(') ++depth;
    if (c == ')') --depth;
    // An open bracket at the end is an error of the last rule's.
    if (c != ',' || (depth > 0 && i < text.size())) continue;
    rules.push_back(parse_rule(std::string_view(text).substr(begin, i - begin)));
    begin = i + 1;
  }
  return rules;
}

RanksAdvisor::RanksAdvisor(const std::vector<RanksRule>& rules, int world_size, int logical_world_size) {
  for (const RanksRule& rule : rules) {
    const int ranks = largest_divisor(logical_world_size, rule.ranks);
    if (ranks < world_size) watches_.push_back({.rule = rule, .ranks = ranks});
  }
}

void RanksAdvisor::observe(std::int64_t step, double loss) {
  for (Watch& watch : watches_) {
    if (!watch.first_step) watch.first_step = step;
    watch.sum += loss;
    ++watch.count;
    if (step - *watch.first_step + 1 < watch.rule.window) continue;
    const double mean = watch.sum / static_cast<double>(watch.count);
    watch.first_step = step + 1;
    watch.sum = 0.0;
    watch.count = 0;
    if (is_fulfilled(watch, mean) && (ranks_ == 0 || watch.ranks < ranks_)) {
      ranks_ = watch.ranks;
      condition_ = watch.rule.text;
    }
  }
}

bool RanksAdvisor::is_fulfilled(Watch& watch, double mean) {
  switch (watch.rule.kind) {
    case RanksRule::Kind::kBelow:
      return mean < watch.rule.value;
    case RanksRule::Kind::kFallen:
      if (!watch.reference) watch.reference = mean;
      return mean < watch.rule.value * *watch.reference;
    case RanksRule::Kind::kPlateau: {
      const bool flat =
          watch.reference && mean > *watch.reference - watch.rule.value * std::abs(*watch.reference);
      watch.reference = mean;
      return flat;
    }
  }
  return false;
}

}  // namespace lockstep
