// CostReport: what `lockstep cost` says, for people and as JSON.
#pragma once

#include <string>
#include <vector>

namespace lockstep {

struct CostItem {
  enum class Unit { kMoney, kSeconds, kShare, kCount, kText };

  std::string key;    // in the JSON
  std::string label;  // for people; empty: for the JSON only
  Unit unit = Unit::kMoney;
  double value = 0.0;
  std::string text = {};  // kMoney: the currency; kText: the text
  std::string note = {};  // for people, and in the JSON as KEY_note
};

CostItem money(std::string key, std::string label, double amount, const std::string& currency,
               std::string note = {});
CostItem seconds(std::string key, std::string label, double value, std::string note = {});
CostItem share(std::string key, std::string label, double value, std::string note = {});
CostItem count(std::string key, std::string label, double value);
CostItem text(std::string key, std::string label, std::string value);

struct CostSection {
  std::string key;
  std::string title;
  std::vector<CostItem> items;
};

using CostReport = std::vector<CostSection>;

// Sections one after the other, a line an item; amounts to the cent, or four digits below 1.
std::string to_plain_text(const CostReport& report);
// An array of objects {"section": KEY, "title": ..., ITEMS}; amounts as {"amount": X, "currency": "USD"}.
std::string to_json_text(const CostReport& report);

}  // namespace lockstep
