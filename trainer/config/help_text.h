// Lays out the options of a program as the text of its --help.
#pragma once

#include <string>
#include <vector>

#include "trainer/config/option.h"

namespace lockstep {

struct HelpEntry {
  std::string group;
  std::string flag;  // "--lr X"
  std::string text;  // "Learning rate (default: 0.01)"
};

inline constexpr std::size_t kHelpColumns = 100;

// Entries under their groups' headings, in the order given; no line is longer than kHelpColumns.
std::string format_help(const std::vector<HelpEntry>& entries);

template <class Config>
std::vector<HelpEntry> help_entries(const std::vector<Option<Config>>& options) {
  std::vector<HelpEntry> entries;
  for (const auto& option : options) {
    const bool is_switch = option.kind() == OptionKind::kSwitch;
    const std::string value = to_text(option.get(Config{}));
    const std::string& shown = option.default_text.empty() ? value : option.default_text;
    entries.push_back({option.group, "--" + option.name + (is_switch ? "[=false]" : " " + option.value_name),
                       option.help + (shown.empty() ? "" : " (default: " + shown + ")")});
  }
  return entries;
}

}  // namespace lockstep
