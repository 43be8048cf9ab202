// `lockstep rank` by itself, as mpirun would start it.
#include "launch/rank_command.h"

#include <gtest/gtest.h>

#include <csignal>

#include "launch/rank_end.h"
#include "tests/launch/launched.h"
#include "trainer/run_dir/exit_code.h"

namespace lockstep {
namespace {

struct RankResult {
  int code = 0;
  std::string output;
  std::vector<RankEnd> ends;
  int starts = 0;
};

RankResult run_rank(int rank, const std::string& script) {
  const TemporaryFolder reports;
  Launched job({"rank", "none", FAKE_RANK_PROGRAM}, {{"FAKE_RANK", script},
                                                     {"LOCKSTEP_EXIT_DIR", reports.path().string()},
                                                     {"OMPI_COMM_WORLD_RANK", std::to_string(rank)}});
  RankResult result;
  result.code = job.wait();
  result.output = job.output();
  result.ends = read_rank_ends(reports.path());
  result.starts = count_rank_starts(reports.path());
  return result;
}

TEST(RankCommand, TellsMpirunOnlyWhatMustEndTheOthers) {
  EXPECT_EQ(run_rank(1, "report 0").code, 0);
  EXPECT_EQ(run_rank(1, "report 10;exit 10").code, 0);
  EXPECT_EQ(run_rank(1, "report 12;exit 12").code, 0);
  EXPECT_EQ(run_rank(1, "report 3;exit 3").code, 3);
  EXPECT_EQ(run_rank(1, "exit 1").code, 1);
  EXPECT_EQ(run_rank(1, "exit 0").code, 11);  // early, without a word
  EXPECT_EQ(run_rank(1, "raise 6").code, 128 + SIGABRT);
}

TEST(RankCommand, NotesStartAndEnd) {
  const RankResult left = run_rank(2, "exit 3");
  ASSERT_EQ(left.ends.size(), 1u);
  EXPECT_EQ(left.ends[0].rank, 2);
  EXPECT_EQ(left.ends[0].exit_code, 3);
  EXPECT_EQ(left.ends[0].signal, 0);
  EXPECT_EQ(left.starts, 1);
  const RankResult killed = run_rank(0, "raise 9");
  ASSERT_EQ(killed.ends.size(), 1u);
  EXPECT_EQ(killed.ends[0].signal, SIGKILL);
}

TEST(RankCommand, LabelsEveryRankButTheFirst) {
  EXPECT_EQ(run_rank(0, "print a\\rb;report 0").output, "a\rb");
  EXPECT_EQ(run_rank(3, "print a\\rb;report 0").output, "[rank 3] a\n[rank 3] b\n");
}

TEST(RankCommand, OutputBeforeADeathIsNotLost) {
  EXPECT_EQ(run_rank(3, "print last words;raise 9").output, "[rank 3] last words\n");
}

TEST(RankCommand, TheProgramDiesWithTheProcessBesideIt) {
  Launched job({"rank", "none", FAKE_RANK_PROGRAM},
               {{"FAKE_RANK", "touch up;deaf 60"}, {"OMPI_COMM_WORLD_RANK", "1"}});
  const pid_t rank = job.pid_of_rank(1, "up");
  job.send(SIGKILL);
  job.wait();
  EXPECT_TRUE(ends_within(rank, 5));
}

TEST(RankCommand, SignalsOfTheGroupDoNotEndItBeforeItsRank) {
  Launched job({"rank", "none", FAKE_RANK_PROGRAM}, {{"FAKE_RANK", "touch up;await_pause paused;exit 5"}});
  const pid_t rank = job.pid_of_rank(0, "up");
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) {
    job.send(signal);
  }
  kill(rank, SIGUSR1);
  EXPECT_EQ(job.wait(), 5);
}

TEST(RankCommand, AProgramThatIsNotThere) {
  Launched job({"rank", "none", "/no/such/program"});
  EXPECT_EQ(job.wait(), 127);
  EXPECT_EQ(job.error(), "lockstep: error: /no/such/program cannot be started (No such file or directory)\n");
  Launched nothing({"rank"});
  EXPECT_EQ(nothing.wait(), 2);
}

}  // namespace
}  // namespace lockstep
