#include "trainer/run_dir/exit_code.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

TEST(ExitReport, ComesBackAsWrittenInRankOrder) {
  const TemporaryFolder folder;
  for (const int rank : {10, 2, 0}) {
    ASSERT_TRUE(write_exit_report(folder.path(),
                                  {rank, ExitCode::kPaused, "paused by \"" + std::to_string(rank) + "\""}));
  }
  const auto reports = read_exit_reports(folder.path());
  ASSERT_EQ(reports.size(), 3u);
  EXPECT_EQ(reports[0].rank, 0);
  EXPECT_EQ(reports[1].rank, 2);
  EXPECT_EQ(reports[2].rank, 10);
  EXPECT_EQ(reports[2].code, ExitCode::kPaused);
  EXPECT_EQ(reports[2].message, "paused by \"10\"");
}

TEST(ExitReport, ALaterReportOfARankReplacesItsEarlierOne) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_exit_report(folder.path(), {1, ExitCode::kFinished, ""}));
  ASSERT_TRUE(write_exit_report(folder.path(), {1, ExitCode::kPeerFailed, "disk full"}));
  const auto reports = read_exit_reports(folder.path());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].code, ExitCode::kPeerFailed);
}

TEST(ExitReport, TheMessageIsOneBoundedLine) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_exit_report(folder.path(),
                                {0, ExitCode::kBadInput, "a\nb\x1b[31m\xff" + std::string(100000, 'x')}));
  const auto reports = read_exit_reports(folder.path());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].message.substr(0, 9),
            "a b [31m\xef");  // no line break, no escape, U+FFFD for the bad byte
  EXPECT_LT(reports[0].message.size(), 5000u);
}

TEST(ExitReport, DamagedOnesAreSkipped) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_exit_report(folder.path(), {3, ExitCode::kFinished, ""}));
  const auto damaged = [&](int rank, const std::string& text) {
    write_text(folder.path() / ("rank-" + std::to_string(rank) + ".json"), text);
  };
  damaged(4, "");
  damaged(5, R"({"rank":5,"code":0)");
  damaged(6, R"({"rank":7,"code":0,"message":""})");   // says that it is another rank's
  damaged(8, R"({"rank":8,"code":99,"message":""})");  // no such code
  damaged(9, R"({"rank":9,"code":"0","message":""})");
  damaged(10, R"({"rank":10,"code":0})");
  damaged(11, R"({"rank":11,"code":0,"message":")" + std::string(1 << 17, 'x') + R"("})");
  damaged(12, R"([12,0,""])");
  damaged(13, std::string(60000, '['));
  write_text(folder.path() / "rank-3.json.aB12cd", R"({"rank":3,"code":3,"message":"half written"})");
  const auto reports = read_exit_reports(folder.path());
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].rank, 3);
}

TEST(ExitReport, AMissingFolderIsNoReportAndNoWrite) {
  const TemporaryFolder folder;
  EXPECT_TRUE(read_exit_reports(folder.path() / "missing").empty());
  EXPECT_FALSE(write_exit_report(folder.path() / "missing", {0, ExitCode::kFinished, ""}));
}

TEST(ExitReport, TheFolderComesFromTheLauncher) {
  unsetenv("LOCKSTEP_EXIT_DIR");
  EXPECT_TRUE(exit_report_dir().empty());
  setenv("LOCKSTEP_EXIT_DIR", "/some/where", 1);
  EXPECT_EQ(exit_report_dir(), "/some/where");
  unsetenv("LOCKSTEP_EXIT_DIR");
}

}  // namespace
}  // namespace lockstep
