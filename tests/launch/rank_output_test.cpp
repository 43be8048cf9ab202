#include "launch/rank_output.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace lockstep {
namespace {

TEST(LineLabeller, WholeLinesOnly) {
  LineLabeller labeller("[rank 1] ");
  EXPECT_EQ(labeller.feed("one\ntw"), "[rank 1] one\n");
  EXPECT_EQ(labeller.feed("o"), "");
  EXPECT_EQ(labeller.feed("\n\nthree"), "[rank 1] two\n[rank 1] \n");
  EXPECT_EQ(labeller.finish(), "[rank 1] three\n");
  EXPECT_EQ(labeller.finish(), "");
}

TEST(LineLabeller, CarriageReturnsEndALine) {
  LineLabeller labeller("> ");
  EXPECT_EQ(labeller.feed("10%\r20%\r"), "> 10%\n> 20%\n");
  EXPECT_EQ(labeller.feed("\rdone\r"), "> done\n");
  EXPECT_EQ(labeller.feed("\nnext\r\n"), "> next\n");  // \r\n is one end, in one piece or in two
  EXPECT_EQ(labeller.finish(), "");
}

TEST(LineLabeller, TheSplitMakesNoDifference) {
  const std::string text = "a\r\nb\n\n\rc\r\r\nd";
  LineLabeller whole("> ");
  std::string expected = whole.feed(text);
  expected += whole.finish();
  LineLabeller bytewise("> ");
  std::string result;
  for (const char c : text) {
    result += bytewise.feed(std::string(1, c));
  }
  result += bytewise.finish();
  EXPECT_EQ(result, expected);
  EXPECT_EQ(expected, "> a\n> b\n> \n> c\n> d\n");
}

TEST(LineLabeller, AnEndlessLineIsCut) {
  LineLabeller labeller("> ");
  const std::string lines = labeller.feed(std::string(3 * LineLabeller::kLongestLine, 'x'));
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 3);
  EXPECT_EQ(labeller.finish(), "");
}

}  // namespace
}  // namespace lockstep
