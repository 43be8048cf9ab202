#include "launch/outcome.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

namespace lockstep {
namespace {

ExitReport report(int rank, int code, const std::string& message = "") {
  return {rank, static_cast<ExitCode>(code), message, -1};
}
RankEnd left(int rank, int code) {
  return {rank, code, 0, 0, -1, "", ""};
}
RankEnd killed(int rank, int signal) {
  return {rank, 0, signal, 0, -1, "", ""};
}

JobEnd job_end(int world_size, std::vector<ExitReport> reports, std::vector<RankEnd> ends, int status,
               bool forced = false) {
  const int starts = static_cast<int>(ends.size());
  return {world_size, std::move(reports), std::move(ends), starts, status, forced};
}

void expect_outcome(const JobEnd& job, int code, const std::string& message) {
  const Outcome outcome = judge(job);
  EXPECT_EQ(static_cast<int>(outcome.code), code);
  EXPECT_EQ(outcome.message, message);
}

TEST(Outcome, WhatAllRanksAgreedOn) {
  expect_outcome(job_end(2, {report(0, 0), report(1, 0)}, {left(0, 0), left(1, 0)}, 0), 0, "");
  expect_outcome(job_end(2, {report(0, 10, "paused"), report(1, 10, "paused")}, {left(0, 10), left(1, 0)}, 0),
                 10, "paused");
  expect_outcome(job_end(2, {report(0, 12, "spent"), report(1, 12, "spent")}, {}, 0), 12, "spent");
}

TEST(Outcome, WhereRanksDisagreeBudgetComesBeforePauseBeforeFinished) {
  expect_outcome(job_end(3, {report(0, 0), report(1, 10, "p"), report(2, 12, "b")}, {}, 0), 12, "rank 2: b");
  expect_outcome(job_end(2, {report(0, 0), report(1, 10, "p")}, {}, 0), 10, "rank 1: p");
}

TEST(Outcome, BadInputOrUsageWinsOverWhatFollowedFromIt) {
  expect_outcome(
      {3, {report(0, 11, "peer gone"), report(2, 3, "bad file")}, {killed(1, SIGTERM), left(2, 3)}, 3}, 3,
      "rank 2: bad file");
  expect_outcome(job_end(2, {report(0, 2, "--lr"), report(1, 3, "x")}, {}, 2), 2, "--lr");
  expect_outcome(job_end(2, {report(0, 3, "a"), report(1, 2, "b")}, {killed(0, SIGKILL)}, 3), 3, "a");
}

TEST(Outcome, AKilledRankIsNamed) {
  const std::string line = "rank 1 was ended by signal 9 (SIGKILL: by hand, or because memory ran out)";
  expect_outcome(job_end(3, {}, {killed(1, SIGKILL), killed(0, SIGTERM), killed(2, SIGTERM)}, 137), 11, line);
  // mpirun's SIGTERM to a peer may be noted first where clocks differ.
  expect_outcome(job_end(2, {}, {killed(0, SIGTERM), killed(1, SIGKILL)}, 137), 11, line);
  expect_outcome(job_end(2, {report(0, 11, "step 7")}, {killed(1, SIGKILL), left(0, 11)}, 137), 11,
                 line + "; rank 0: step 7");
  // Killed after it had reported: it did not come to its end.
  expect_outcome(job_end(2, {report(0, 0), report(1, 0)}, {left(0, 0), killed(1, SIGKILL)}, 137), 11, line);
}

TEST(Outcome, TermCountsOnlyWithoutABetterReason) {
  expect_outcome(job_end(2, {}, {killed(1, SIGTERM), killed(0, SIGTERM)}, 143), 11,
                 "rank 1 was ended by signal 15 (SIGTERM)");
  expect_outcome(job_end(2, {report(0, 11, "timeout")}, {left(0, 11), killed(1, SIGTERM)}, 11), 11,
                 "timeout");
}

TEST(Outcome, AFailedPeer) {
  expect_outcome(job_end(2, {report(0, 11, "x"), report(1, 11, "y")}, {left(0, 11), left(1, 11)}, 11), 11,
                 "x");
  expect_outcome(job_end(2, {report(0, 0), report(1, 11, "y")}, {left(0, 0), left(1, 11)}, 11), 11,
                 "rank 1: y");
}

TEST(Outcome, ARankWithoutAWord) {
  expect_outcome(job_end(2, {report(0, 0)}, {left(0, 0), left(1, 0)}, 11), 11,
                 "rank 1 left with code 0 and no report; what it printed above may say why");
  expect_outcome(job_end(2, {}, {killed(0, SIGTERM), left(1, 0)}, 11), 11,
                 "rank 1 left with code 0 and no report; what it printed above may say why");
  expect_outcome(job_end(2, {report(0, 0)}, {left(0, 0), left(1, 1)}, 1), 11,
                 "rank 1 left with code 1 and no report; what it printed above may say why");
}

TEST(Outcome, ACodeStandsForAReportThatCouldNotBeWritten) {
  expect_outcome(job_end(2, {}, {left(1, 3), killed(0, SIGTERM)}, 3), 3, "");
  expect_outcome(job_end(2, {report(0, 10, "p")}, {left(0, 10), left(1, 10)}, 0), 10, "p");
  expect_outcome(job_end(1, {}, {left(0, 11)}, 11), 11, "");
}

TEST(Outcome, RanksOnHostsThatDoNotSeeTheFolder) {
  expect_outcome(job_end(4, {report(0, 10, "p"), report(1, 10, "p")}, {left(0, 0), left(1, 0)}, 0), 10, "p");
  expect_outcome(job_end(2, {report(0, 0)}, {left(0, 0)}, 3), 3, "");
  expect_outcome(job_end(2, {report(0, 0)}, {left(0, 0)}, 137), 11,
                 "rank 1 left no report (mpirun ended with 137); it was killed, or its host was lost");
}

TEST(Outcome, NothingStarted) {
  const Outcome outcome = judge(job_end(2, {}, {}, 255));
  EXPECT_EQ(outcome.code, ExitCode::kPeerFailed);
  EXPECT_NE(outcome.message.find("could not be started"), std::string::npos);
  EXPECT_NE(judge(job_end(2, {}, {}, 0)).code, ExitCode::kFinished);
}

TEST(Outcome, StartedAndGone) {
  expect_outcome({2, {}, {}, 2, 137, false}, 11,
                 "rank 0 left no report (mpirun ended with 137); it was killed, or its host was lost");
}

TEST(Outcome, AForcedStop) {
  const std::string line =
      "stopped by a second signal before all ranks had saved; the last complete checkpoint is untouched";
  expect_outcome(job_end(2, {}, {killed(0, SIGTERM), killed(1, SIGKILL)}, 137, true), 11, line);
  expect_outcome(job_end(2, {}, {}, 137, true), 11, line);
  expect_outcome(job_end(2, {report(0, 10, "p")}, {left(0, 0)}, 137, true), 11, line);
  expect_outcome(job_end(2, {report(0, 10, "p"), report(1, 10, "p")}, {left(0, 0), left(1, 0)}, 0, true), 10,
                 "p");
}

TEST(Outcome, SignalsByName) {
  EXPECT_EQ(describe_signal(SIGSEGV), "signal 11 (SIGSEGV)");
  EXPECT_EQ(describe_signal(SIGABRT), "signal 6 (SIGABRT)");
  EXPECT_EQ(describe_signal(SIGRTMIN + 5), "signal " + std::to_string(SIGRTMIN + 5));
}

TEST(Outcome, SaysWhereAndWhenARankWasLostAndWhoItWas) {
  RankEnd end = killed(1, SIGKILL);
  end.where = "in step 7";
  JobEnd job = job_end(2, {report(0, 11, "rank 0: exchange #9: rank 1 is gone")}, {end}, 137);
  expect_outcome(job, 11,
                 "rank 1 was ended by signal 9 (SIGKILL: by hand, or because memory ran out), in step 7; "
                 "rank 0: exchange #9: rank 1 is gone");
  EXPECT_EQ(judge(job).rank, 1);
  setenv("TZ", "UTC", 1);
  job.ends[0].ended_at_ns = 1'700'000'000'000'000'000;
  EXPECT_THAT(judge(job).message, testing::HasSubstr("ran out) at 22:13:20, in step 7; rank 0"));
  EXPECT_EQ(judge(job).failed_at_ns, 1'700'000'000'000'000'000);
}

TEST(Outcome, ARankThatStoodStillIsTheCauseOfWhatItsEndBrought) {
  RankEnd still = killed(2, SIGSTOP);
  still.cause = "was stopped by signal 19 (SIGSTOP)";
  const JobEnd job = job_end(3, {report(0, 11, "rank 0: all_reduce #7 timed out")},
                             {killed(1, SIGKILL), left(0, 11), still}, 11);
  expect_outcome(job, 11, "rank 2 was stopped by signal 19 (SIGSTOP); rank 0: all_reduce #7 timed out");
  EXPECT_EQ(judge(job).rank, 2);
}

TEST(Outcome, APeerThatIsBlamedIsTheOneThatFailed) {
  ExitReport blames = report(0, 11, "rank 0: all_reduce #7 timed out, waiting for rank 2");
  blames.peer = 2;
  EXPECT_EQ(judge(job_end(3, {blames}, {left(0, 11)}, 11)).rank, 2);
  EXPECT_EQ(judge(job_end(3, {report(1, 11, "rank 1: disk full")}, {left(1, 11)}, 11)).rank, 1);
}

}  // namespace
}  // namespace lockstep
