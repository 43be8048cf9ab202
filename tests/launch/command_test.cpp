#include "launch/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::internal::CaptureStderr;
using testing::internal::CaptureStdout;
using testing::internal::GetCapturedStderr;
using testing::internal::GetCapturedStdout;

TEST(Command, OverviewListsWhatIsForPeople) {
  CaptureStdout();
  EXPECT_EQ(run_lockstep({"--help"}), 0);
  const std::string text = GetCapturedStdout();
  EXPECT_THAT(text, HasSubstr("  train     "));
  EXPECT_THAT(text, testing::Not(HasSubstr("  rank")));
}

TEST(Command, HelpOfACommandInBothForms) {
  CaptureStdout();
  EXPECT_EQ(run_lockstep({"help", "train"}), 0);
  const std::string text = GetCapturedStdout();
  CaptureStdout();
  EXPECT_EQ(run_lockstep({"train", "--lr=x", "--help"}), 0);
  EXPECT_EQ(GetCapturedStdout(), text);
}

TEST(Command, VersionIsTheProjects) {
  CaptureStdout();
  EXPECT_EQ(run_lockstep({"--version"}), 0);
  EXPECT_THAT(GetCapturedStdout(), testing::MatchesRegex("lockstep [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Command, UnknownOnesGetTheNearestListedName) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"tarin"}, {"help", "tarin"}}) {
    CaptureStderr();
    EXPECT_EQ(run_lockstep(arguments), 2);
    EXPECT_THAT(GetCapturedStderr(),
                testing::MatchesRegex("lockstep: error: unknown command \"tarin\".*train.*\n"));
  }
}

}  // namespace
}  // namespace lockstep
