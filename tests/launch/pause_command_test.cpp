// `lockstep pause`, with the real launcher.
#include "launch/pause_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "launch/launcher_file.h"
#include "sampler/data_error.h"
#include "tests/launch/launched.h"
#include "tests/trainer/config/refusal.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

constexpr const char* kPausedAt12 = R"({"kind":"end","attempt":1,"reason":"paused","step":12})"
                                    "\n";

TEST(PauseCommand, PausesARunAndSaysWhere) {
  Launched run({"train", "--nproc-per-node", "2", "--run-dir", "run"},
               {{"FAKE_RANK", "touch up;await_pause paused;report 10 paused"}});
  run.pid_of_rank(0, "up");
  run.pid_of_rank(1, "up");
  write_text(run.folder() / "run" / "metrics.jsonl", kPausedAt12);  // as the trainer would before it ends
  Launched pause({"pause", (run.folder() / "run").string(), "--timeout", "20"});
  EXPECT_EQ(pause.wait(), 0) << pause.error();
  EXPECT_EQ(pause.output(), "paused after step 12; the same lockstep train goes on\n");
  EXPECT_EQ(run.wait(), 10);
}

TEST(PauseCommand, ARunThatDoesNotEndInTime) {
  Launched run({"train", "--run-dir", "run"}, {{"FAKE_RANK", "touch up;deaf 60"}});
  run.pid_of_rank(0, "up");
  Launched pause({"pause", (run.folder() / "run").string(), "--timeout", "0.3"});
  EXPECT_EQ(pause.wait(), 11);
  EXPECT_THAT(pause.error(), HasSubstr("the run has not ended within --timeout"));
}

TEST(PauseCommand, SaysWhatThereIsInstead) {
  const TemporaryFolder folder;
  const auto pause = [&] { run_pause_command({folder.path().string()}); };
  expect_refused<DataError>(pause, {"no run is going on in", "there is no checkpoint", "--run-dir"});
  write_text(folder.path() / "metrics.jsonl", R"({"kind":"end","reason":"finished","step":7})"
                                              "\n");
  expect_refused<DataError>(pause, {"no run is going on in", "it finished after step 7"});
  expect_refused<DataError>([] { run_pause_command({"/no/such/folder"}); }, {"/no/such/folder is not there"});
  expect_refused([] { run_pause_command({}); }, {"a run folder is missing", "lockstep pause RUN_DIR"});
  expect_refused([] { run_pause_command({"/", "--timeout", "0"}); }, {"--timeout"});
}

TEST(PauseCommand, ANumberThatIsAnothersNowIsLeftAlone) {
  const TemporaryFolder folder;
  LauncherId launcher = this_launcher();
  ++launcher.start_ticks;  // this very process, had it started later: a signal would end the test
  std::filesystem::create_directories(folder.path() / ".launch" / "1-a");
  write_launcher_file(folder.path() / ".launch" / "1-a", launcher);
  EXPECT_FALSE(LauncherProcess::find(launcher));
  expect_refused<DataError>([&] { run_pause_command({folder.path().string()}); }, {"no run is going on in"});
}

TEST(PauseCommand, ALauncherOfAnotherMachineIsNamed) {
  const TemporaryFolder folder;
  LauncherId launcher = this_launcher();
  launcher.machine = "another boot";
  launcher.host = "node7";
  std::filesystem::create_directories(folder.path() / ".launch" / "1-a");
  write_launcher_file(folder.path() / ".launch" / "1-a", launcher);
  expect_refused<DataError>(
      [&] { run_pause_command({folder.path().string()}); },
      {"process " + std::to_string(launcher.pid) + " on node7", "run lockstep pause there"});
}

TEST(LauncherFile, ComesBackAndNamesThisProcess) {
  const TemporaryFolder folder;
  EXPECT_FALSE(read_launcher_file(folder.path()));
  write_launcher_file(folder.path(), this_launcher());
  const auto launcher = read_launcher_file(folder.path());
  ASSERT_TRUE(launcher);
  const auto process = LauncherProcess::find(*launcher);
  ASSERT_TRUE(process);
  EXPECT_TRUE(process->send(0));
  EXPECT_FALSE(process->wait_for_end(0.0));
}

TEST(LauncherFile, ADamagedOneIsNone) {
  const TemporaryFolder folder;
  for (const char* text :
       {"", "[]", "{}", R"({"pid":-1,"start_ticks":1,"host":"h","machine":"m"})",
        R"({"pid":99999999999,"start_ticks":1,"host":"h","machine":"m"})",
        R"({"pid":1,"start_ticks":"1","host":"h","machine":"m"})", R"({"pid":1,"start_ticks":1)"}) {
    write_text(folder.path() / "launcher.json", text);
    EXPECT_FALSE(read_launcher_file(folder.path())) << text;
  }
}

}  // namespace
}  // namespace lockstep
