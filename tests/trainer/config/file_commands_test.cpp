#include "trainer/config/file_commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

TEST(FileCommands, FilesComeFirst) {
  const CompareConfig compare = parse_compare_command({"/", ".", "--json", "--step", "12"});
  EXPECT_EQ(compare.a, "/");
  EXPECT_EQ(compare.b, ".");
  EXPECT_TRUE(compare.json);
  EXPECT_EQ(compare.step, 12);
  const ExportConfig exported = parse_export_command({"/", "--to=x.pt"});
  EXPECT_EQ(exported.source, "/");
  EXPECT_EQ(exported.to, "x.pt");
  EXPECT_EQ(exported.step, -1);
}

TEST(FileCommands, SayWhatIsMissingOrTooMuch) {
  expect_refused([] { parse_compare_command({"/"}); },
                 {"a file or folder is missing", "lockstep compare A B"});
  expect_refused([] { parse_compare_command({"/", "--json", "/"}); }, {"a file or folder is missing"});
  expect_refused([] { parse_compare_command({"/", "/", "/"}); }, {"belongs to no flag"});
  expect_refused([] { parse_compare_command({"/", "/", "--step", "-2"}); }, {"--step", "-1 (the newest)"});
  expect_refused([] { parse_export_command({}); }, {"a file or folder is missing", "lockstep export"});
  expect_refused([] { parse_export_command({"/", "--too", "x"}); }, {"did you mean --to?"});
  expect_refused<DataError>([] { parse_compare_command({"/", "/no/such"}); }, {"/no/such is not there"});
}

TEST(FileCommands, ReportTakesSeveralRuns) {
  const ReportConfig report = parse_report_command({"/", ".", "/tmp", "--output", "x.html"});
  EXPECT_EQ(report.run_dirs, (std::vector<std::string>{"/", ".", "/tmp"}));
  EXPECT_EQ(report.output, "x.html");
  EXPECT_EQ(parse_report_command({"/"}).output, "");
  expect_refused([] { parse_report_command({}); },
                 {"a file or folder is missing", "lockstep report RUN_DIR..."});
  expect_refused([] { parse_report_command({"--output", "x"}); }, {"a file or folder is missing"});
  expect_refused<DataError>([] { parse_report_command({"/", "/no/such"}); }, {"/no/such is not there"});
}

TEST(FileCommands, HelpNamesFlagsAndExitCodes) {
  EXPECT_THAT(compare_help(), HasSubstr("--json"));
  EXPECT_THAT(compare_help(), HasSubstr("1 different"));
  EXPECT_THAT(export_help(), HasSubstr("--to FILE"));
  EXPECT_THAT(report_help(), HasSubstr("--output FILE"));
}

}  // namespace
}  // namespace lockstep
