#include "trainer/bill/cost_report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "trainer/cost/spend.h"
#include "trainer/metrics/number_format.h"

namespace lockstep {
namespace {

using Json = nlohmann::ordered_json;

std::string percent(double share) {
  char digits[64];
  std::snprintf(digits, sizeof digits, "%.1f %%", 100.0 * share);
  return digits;
}

std::string precise_duration(double value) {
  constexpr double kShort_s = 60.0;
  if (!(value < kShort_s)) return format_duration(value);
  char digits[64];
  std::snprintf(digits, sizeof digits, "%.2f s", value);
  return digits;
}

std::string shown(const CostItem& item) {
  switch (item.unit) {
    case CostItem::Unit::kMoney:
      return format_money(item.value, item.text);
    case CostItem::Unit::kSeconds:
      return precise_duration(item.value);
    case CostItem::Unit::kShare:
      return percent(item.value);
    case CostItem::Unit::kCount:
      return format_count(std::llround(item.value));
    case CostItem::Unit::kText:
      return item.text;
  }
  return {};
}

Json json_of(const CostItem& item) {
  if (item.unit == CostItem::Unit::kText) return item.text;
  if (item.unit == CostItem::Unit::kMoney) return {{"amount", item.value}, {"currency", item.text}};
  if (item.unit == CostItem::Unit::kCount) return std::llround(item.value);
  return item.value;
}

}  // namespace

CostItem money(std::string key, std::string label, double amount, const std::string& currency,
               std::string note) {
  return {std::move(key), std::move(label), CostItem::Unit::kMoney, amount, currency, std::move(note)};
}
CostItem seconds(std::string key, std::string label, double value, std::string note) {
  return {std::move(key), std::move(label), CostItem::Unit::kSeconds, value, {}, std::move(note)};
}
CostItem share(std::string key, std::string label, double value, std::string note) {
  return {std::move(key), std::move(label), CostItem::Unit::kShare, value, {}, std::move(note)};
}
CostItem count(std::string key, std::string label, double value) {
  return {std::move(key), std::move(label), CostItem::Unit::kCount, value};
}
CostItem text(std::string key, std::string label, std::string value) {
  return {std::move(key), std::move(label), CostItem::Unit::kText, 0.0, std::move(value)};
}

std::string to_plain_text(const CostReport& report) {
  std::string lines;
  for (const CostSection& section : report) {
    std::size_t label_width = 0;
    std::size_t value_width = 0;
    for (const CostItem& item : section.items) {
      label_width = std::max(label_width, item.label.size());
      if (item.unit != CostItem::Unit::kText && !item.label.empty())
        value_width = std::max(value_width, shown(item).size());
    }
    lines += (lines.empty() ? "" : "\n") + section.title + "\n";
    for (const CostItem& item : section.items) {
      if (item.label.empty()) continue;
      std::string label = item.label;
      label.resize(label_width + 2, ' ');
      std::string value = shown(item);
      if (item.unit != CostItem::Unit::kText) value.insert(0, value_width - value.size(), ' ');
      lines += "  " + label + value + (item.note.empty() ? "" : "  " + item.note) + "\n";
    }
  }
  return lines;
}

std::string to_json_text(const CostReport& report) {
  Json sections = Json::array();
  for (const CostSection& section : report) {
    Json object = {{"section", section.key}, {"title", section.title}};
    for (const CostItem& item : section.items) {
      object[item.key] = json_of(item);
      if (!item.note.empty()) object[item.key + "_note"] = item.note;
    }
    sections.push_back(std::move(object));
  }
  return sections.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace lockstep
