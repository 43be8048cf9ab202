#include "trainer/config/help_text.h"

#include <algorithm>
#include <sstream>

namespace lockstep {
namespace {

constexpr std::size_t kTextColumn = 32;

std::string wrapped(const HelpEntry& entry) {
  std::string result;
  std::string line = "  " + entry.flag;
  line.resize(std::max(line.size() + 2, kTextColumn), ' ');
  std::istringstream words(entry.text);
  bool first_in_line = true;
  for (std::string word; words >> word; first_in_line = false) {
    if (!first_in_line && line.size() + 1 + word.size() > kHelpColumns) {
      result += line + "\n";
      line.assign(kTextColumn, ' ');
      first_in_line = true;
    }
    line += (first_in_line ? "" : " ") + word;
  }
  return result + line + "\n";
}

}  // namespace

std::string format_help(const std::vector<HelpEntry>& entries) {
  std::string result;
  const std::string* group = nullptr;
  for (const HelpEntry& entry : entries) {
    if (group == nullptr || *group != entry.group) {
      result += "\n" + entry.group + ":\n";
      group = &entry.group;
    }
    result += wrapped(entry);
  }
  return result;
}

}  // namespace lockstep
