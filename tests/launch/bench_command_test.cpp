// `lockstep bench` with the real mpirun and ranks that do as they are told.
#include "launch/bench_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "tests/launch/launched.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

TEST(BenchCommand, HelpListsTheBenchmarksAndEachOnesOptions) {
  const std::string all = bench_command_help({});
  EXPECT_THAT(all, HasSubstr("all-reduce"));
  for (const char* name : {"  reduce-scatter  ", "  all-gather      ", "  broadcast       ",
                           "  send-receive    ", "  step            "})
    EXPECT_THAT(all, HasSubstr(name));
  const std::string one = bench_command_help({"all-reduce", "--help"});
  EXPECT_THAT(one, HasSubstr("--min-bytes SIZE"));
  EXPECT_THAT(one, HasSubstr("--nproc-per-node N"));
  EXPECT_THAT(bench_command_help({"step"}), HasSubstr("--workload NAMES"));
}

TEST(BenchCommand, WrongUseStartsNothing) {
  for (const auto& [arguments, text] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"bench"}, "a benchmark's name is missing"},
           {{"bench", "all-reduec"}, "did you mean all-reduce?"},
           {{"bench", "all-reduce", "--iters", "-3"}, "--iters"},
           {{"bench", "all-reduce", "--nproc-per-node", "0"}, "--nproc-per-node"},
           {{"bench", "step", "--workload", "vgg"}, "--workload"}}) {
    Launched job(arguments, {{"FAKE_RANK", "touch started;report 0"}});
    EXPECT_EQ(job.wait(), 2);
    EXPECT_THAT(job.error(), HasSubstr("lockstep: error: "));
    EXPECT_THAT(job.error(), HasSubstr(text));
    EXPECT_FALSE(std::filesystem::exists(job.folder() / "started-0"));
  }
}

TEST(BenchCommand, RanksGetTheirOptionsInFullAndTheCommandAsTyped) {
  Launched job({"bench", "all-reduce", "--nproc-per-node", "2", "-b", "8", "--json", "a file"},
               {{"FAKE_RANK_0", "arguments;getenv LOCKSTEP_COMMAND;getenv OMP_NUM_THREADS;report 0"},
                {"FAKE_RANK_1", "report 0"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.output(), HasSubstr("--min-bytes=8"));
  EXPECT_THAT(job.output(), HasSubstr("--json=a file"));
  EXPECT_THAT(job.output(), testing::Not(HasSubstr("nproc-per-node=")));
  EXPECT_THAT(job.output(), HasSubstr("lockstep bench all-reduce --nproc-per-node 2 -b 8 --json 'a file'"));
  EXPECT_EQ(job.error(), "");
}

TEST(BenchCommand, EvenOneRankIsMpiruns) {
  Launched job({"bench", "step", "--dry-run"});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.output(), HasSubstr("mpirun"));
  EXPECT_THAT(job.output(), HasSubstr(" -n 1 "));
}

TEST(BenchCommand, WrongResultsAreExitCode1) {
  Launched job({"bench", "all-reduce", "--nproc-per-node", "2"},
               {{"FAKE_RANK", "report 1 3 values were wrong"}});
  EXPECT_EQ(job.wait(), 1);
  EXPECT_EQ(job.error(), "lockstep: error: 3 values were wrong\n");
}

TEST(BenchCommand, CtrlCStopsAfterTheRoundUnderWay) {
  Launched job({"bench", "step", "--nproc-per-node", "2"},
               {{"FAKE_RANK", "touch up;await_pause paused;report 10 stopped on request"}});
  job.pid_of_rank(0, "up");
  job.pid_of_rank(1, "up");
  job.send(SIGINT);
  EXPECT_EQ(job.wait(), 10);
  EXPECT_EQ(
      job.error(),
      "lockstep: stopping after this round; a second signal stops at once\nlockstep: stopped on request\n");
}

}  // namespace
}  // namespace lockstep
