#include "launch/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

TEST(Command, OverviewListsWhatIsForPeople) {
  CaptureStdout();
  EXPECT_EQ(run_lockstep({"--help"}), 0);
  const std::string text = GetCapturedStdout();
  for (const char* command :
       {"  train     ", "  bench     ", "  compare   ", "  doctor    ", "  export    ", "  report    "})
    EXPECT_THAT(text, HasSubstr(command));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("  rank")));
  EXPECT_THAT(text, ::testing::Not(HasSubstr("doctor-agent")));
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
                                                                      {{"export"}, 2},
                                                                      {{"report"}, 2},
                                                                      {{"report", "/"}, 3}};
  for (const auto& [arguments, code] : uses) {
    CaptureStderr();
    EXPECT_EQ(run_lockstep(arguments), code);
    EXPECT_THAT(GetCapturedStderr(), ::testing::MatchesRegex("lockstep: error: [^\n]*\n"));
  }
}

TEST(Command, ReportDrawsARunAndNamesWhatIsDamaged) {
  const TemporaryFolder folder;
  const std::string start =
      R"({"kind":"start","attempt":1,"time_unix_s":1,"world_size":1,"model":"mlp","step":0})";
  write_text(folder.path() / "metrics.jsonl", start + "\nnonsense\n");
  CaptureStdout();
  CaptureStderr();
  EXPECT_EQ(run_lockstep({"report", folder.path().string()}), 0);
  const std::string file = (folder.path() / "report.html").string();
  EXPECT_EQ(GetCapturedStdout(), file + "\n");
  EXPECT_THAT(GetCapturedStderr(),
              ::testing::MatchesRegex("lockstep: warning: .*metrics.jsonl, line 2: [^\n]*\n"));
  EXPECT_THAT(read_text(file), HasSubstr("lockstep report " + folder.path().string()));
}

TEST(Command, VersionIsTheProjects) {
  CaptureStdout();
  EXPECT_EQ(run_lockstep({"--version"}), 0);
  EXPECT_THAT(GetCapturedStdout(), ::testing::MatchesRegex("lockstep [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Command, UnknownOnesGetTheNearestListedName) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{"tarin"}, {"help", "tarin"}}) {
    CaptureStderr();
    EXPECT_EQ(run_lockstep(arguments), 2);
    EXPECT_THAT(GetCapturedStderr(),
                ::testing::MatchesRegex("lockstep: error: unknown command \"tarin\".*train.*\n"));
  }
}

}  // namespace
}  // namespace lockstep
