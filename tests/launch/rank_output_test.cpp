#include "launch/rank_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

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

// A line of `size` bytes, its break among them.
std::string line_of(std::size_t size) {
  std::string line(size, 'x');
  line.back() = '\n';
  return line;
}

// What write_lines() writes, write by write: a packet is one.
std::vector<std::string> writes_of(const std::string& lines) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends.data()) != 0) {
    throw std::runtime_error("no socket pair");
  }
  write_lines(ends[0], lines);
  close(ends[0]);
  std::vector<std::string> writes;
  std::string packet(1 << 17, '\0');
  for (ssize_t size = 0; (size = read(ends[1], packet.data(), packet.size())) > 0;) {
    writes.push_back(packet.substr(0, static_cast<std::size_t>(size)));
  }
  close(ends[1]);
  return writes;
}

TEST(WriteLines, NoWriteEndsWithinALineThatATerminalTakesWhole) {
  const std::string line = line_of(100);
  std::string lines;
  for (int i = 0; i < 50; ++i) {
    lines += line;
  }
  const std::vector<std::string> writes = writes_of(lines);
  EXPECT_THAT(writes,
              testing::ElementsAre(lines.substr(0, 2000), lines.substr(0, 2000), lines.substr(0, 1000)));
  const std::string full = line_of(kTerminalPiece);
  EXPECT_THAT(writes_of(full + full), testing::ElementsAre(full, full));
}

TEST(WriteLines, LongerLinesGoByThemselves) {
  const std::string long_line = line_of(5000);
  const std::string open_line(3000, 'z');
  EXPECT_THAT(writes_of("a\nb\n" + long_line + "c\n" + open_line),
              testing::ElementsAre("a\nb\n", long_line, "c\n", open_line));
  EXPECT_THAT(writes_of(""), testing::IsEmpty());
}

}  // namespace
}  // namespace lockstep
