#include "trainer/config/help_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace lockstep {
namespace {

TEST(HelpText, GroupsAndColumns) {
  EXPECT_EQ(format_help({{"First", "--a N", "Text"}, {"First", "--b", "More"}, {"Second", "--c", "Last"}}),
            "\nFirst:\n"
            "  --a N                         Text\n"
            "  --b                           More\n"
            "\nSecond:\n"
            "  --c                           Last\n");
}

TEST(HelpText, LongTextIsWrappedUnderItself) {
  std::string words;
  for (int i = 0; i < 40; ++i) {
    words += "word ";
  }
  std::istringstream lines(format_help({{"G", "--flag X", words}}));
  std::string line;
  std::getline(lines, line);
  std::getline(lines, line);
  std::getline(lines, line);
  // 32 columns of indentation leave 68: 13 words of 4 letters with 12 blanks are 64, a 14th would make 69.
  EXPECT_EQ(
      line,
      "  --flag X                      word word word word word word word word word word word word word");
  std::getline(lines, line);
  EXPECT_TRUE(line.starts_with(std::string(32, ' ') + "word"));
}

}  // namespace
}  // namespace lockstep
