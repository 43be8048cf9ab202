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
  for (const char* command : {"  train     ", "  bench     ", "  compare   ", "  export    "})
    EXPECT_THAT(text, HasSubstr(command));
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

// Before the program beside it, which has LibTorch, is looked for.
TEST(Command, FilesAreCheckedHere) {
  const std::vector<std::pair<std::vector<std::string>, int>> uses = {{{"compare", "/"}, 2},
                                                                      {{"compare", "/", "/no/such"}, 3},
                                                                      {{"compare", "/", "/", "--jsn"}, 2},
                                                                      {{"export"}, 2}};
  for (const auto& [arguments, code] : uses) {
    CaptureStderr();
    EXPECT_EQ(run_lockstep(arguments), code);
    EXPECT_THAT(GetCapturedStderr(), testing::MatchesRegex("lockstep: error: [^\n]*\n"));
  }
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
