#include "launch/doctor/probe_source.h"

#include <gtest/gtest.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

TEST(ProbeSource, ReadsWhatIsThere) {
  FakeMachine machine({{"proc/a", "text \n"}, {"proc/n", "-12\n"}, {"proc/b/x", "12x"}}, {{"HOME", "/root"}});
  const ProbeSource& source = machine.source();
  EXPECT_EQ(source.text("proc/a"), "text");
  EXPECT_EQ(source.number("proc/n"), -12);
  EXPECT_EQ(source.number("proc/b/x"), std::nullopt);
  EXPECT_EQ(source.text("proc/none"), std::nullopt);
  EXPECT_EQ(source.text("proc"), std::nullopt);
  EXPECT_EQ(source.names("proc"), (std::vector<std::string>{"a", "b", "n"}));
  EXPECT_TRUE(source.names("none").empty());
  EXPECT_TRUE(source.exists("proc/b"));
  EXPECT_EQ(source.variable("HOME"), "/root");
  EXPECT_EQ(source.variable("NONE"), "");
}

TEST(ProbeSource, CountsCpusInLists) {
  EXPECT_EQ(count_cpus("0-3,8,10-11"), 7);
  EXPECT_EQ(count_cpus("5"), 1);
  for (const char* none : {"", "x", "3-1", "1-", "0;2"}) EXPECT_EQ(count_cpus(none), 0) << none;
}

TEST(ProbeSource, WritesGigabytes) {
  EXPECT_EQ(gigabytes(64e6), "0.064 GB");
  EXPECT_EQ(gigabytes(12.34e9), "12.3 GB");
}

}  // namespace
}  // namespace lockstep
