// Restarts, with the real launcher and the real mpirun.
#include "launch/attempts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "launch/rank_end.h"
#include "tests/launch/launched.h"

namespace lockstep {
namespace {

using testing::HasSubstr;
using testing::Not;

std::vector<std::string> train(int ranks, std::vector<std::string> more) {
  std::vector<std::string> arguments = {
      "train", "--nproc-per-node", std::to_string(ranks), "--run-dir", "run", "--restart-delay", "0.05"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// Of ranks that all live: what is noted of one is that it stands still.
bool has_noted_stop(const Launched& job) {
  std::error_code not_yet;
  for (const auto& folder : std::filesystem::directory_iterator(job.folder() / "run" / ".launch", not_yet)) {
    if (!read_rank_ends(folder.path() / "attempt-1").empty()) return true;
  }
  return false;
}

void wait_for_stop(const Launched& job) {
  job.wait_for("the note of a stop", [&] { return has_noted_stop(job); });
}

TEST(Attempts, AKilledRankIsReplaced) {
  Launched job(train(2, {"--max-restarts", "3"}),
               {{"FAKE_RANK_0", "touch up;attempt 1 sleep 60;note;report 0"},
                {"FAKE_RANK_1", "beat 6;attempt 1 raise 9;report 0"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.error(), HasSubstr("lockstep: rank 1 was ended by signal 9 (SIGKILL: by hand, or because "
                                     "memory ran out) at "));
  EXPECT_THAT(job.error(), HasSubstr(", in step 7\n"));
  EXPECT_THAT(
      job.error(),
      HasSubstr("lockstep: restart 1 of 3 in 0.05 s, from the beginning: there is no checkpoint yet\n"));
  EXPECT_THAT(job.output(), HasSubstr("note: rank 1 was ended by signal 9"));
  EXPECT_LT(job.duration_s(), 40);
}

TEST(Attempts, TheNewestCheckpointIsNamedAndFreshIsForgotten) {
  Launched job(train(1, {"--max-restarts", "3", "--fresh"}),
               {{"FAKE_RANK", "arguments;attempt 1 checkpoint run 12;attempt 1 raise 11;report 0"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.error(), HasSubstr("from the checkpoint of step 12\n"));
  const std::string& output = job.output();
  EXPECT_NE(output.find("--fresh=true"), std::string::npos);
  EXPECT_EQ(output.find("--fresh=true"), output.rfind("--fresh=true"));
}

TEST(Attempts, AnOldRunThatWasNotSetAsideYetStillIs) {
  const TemporaryFolder folder;
  const std::string run = folder.path() / "run";
  write_text(folder.path() / "run" / "config.toml", "");
  Launched job({"train", "--run-dir", run, "--restart-delay", "0.05", "--max-restarts", "3", "--fresh"},
               {{"FAKE_RANK", "arguments;beat 1;attempt 1 raise 9;attempt 2 set_aside " + run +
                                  ";attempt 2 checkpoint " + run + " 5;attempt 2 raise 9;report 0"}});
  EXPECT_EQ(job.wait(), 0);
  const std::string& output = job.output();
  const std::size_t first = output.find("--fresh=true");
  ASSERT_NE(first, std::string::npos);
  const std::size_t second = output.find("--fresh=true", first + 1);
  ASSERT_NE(second, std::string::npos);
  EXPECT_EQ(output.find("--fresh=true", second + 1), std::string::npos);
  EXPECT_THAT(job.error(), HasSubstr("restart 1 of 3 in 0.05 s, from the beginning"));
  EXPECT_THAT(job.error(), HasSubstr("restart 2 of 3 in 0.05 s, from the checkpoint of step 5"));
}

TEST(Attempts, WhatFailsAgainAndAgainIsGivenUp) {
  Launched job(train(1, {"--max-restarts", "9"}), {{"FAKE_RANK", "raise 9"}});
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(), HasSubstr("restart 1 of 9"));
  EXPECT_THAT(job.error(), Not(HasSubstr("restart 2 of 9")));
  EXPECT_THAT(job.error(), HasSubstr("; gives up: 2 attempts running came to no later step"));
}

TEST(Attempts, OtherEndsAreNotTriedAgain) {
  for (const int code : {0, 2, 3, 10, 12}) {
    Launched job(train(1, {"--max-restarts", "9"}), {{"FAKE_RANK", "report " + std::to_string(code) + " x"}});
    EXPECT_EQ(job.wait(), code);
    EXPECT_THAT(job.error(), Not(HasSubstr("restart")));
  }
}

TEST(Attempts, AReportedFailureIsTriedAgain) {
  Launched job(train(1, {"--max-restarts", "1"}),
               {{"FAKE_RANK", "attempt 1 report 11 the network;attempt 1 exit 11;report 0"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.error(), HasSubstr("lockstep: the network\nlockstep: restart 1 of 1"));
}

TEST(Attempts, ASignalBetweenTwoAttemptsIsAPause) {
  Launched job({"train", "--run-dir", "run", "--max-restarts", "9", "--restart-delay", "60"},
               {{"FAKE_RANK", "raise 9"}});
  job.wait_for_error("restart 1");
  job.send(SIGTERM);
  EXPECT_EQ(job.wait(), 10);
  EXPECT_THAT(job.error(), HasSubstr("paused before a restart (rank 0 was ended by signal 9"));
}

TEST(Attempts, AFailureAfterARequestToPauseIsNotTriedAgain) {
  Launched job(train(1, {"--max-restarts", "9"}), {{"FAKE_RANK", "touch up;await_pause paused;raise 9"}});
  job.pid_of_rank(0, "up");
  job.send(SIGTERM);
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(), Not(HasSubstr("restart 1")));
}

TEST(Attempts, AStoppedRankThatIsAloneIsEndedAndNamed) {
  Launched job(train(1, {"--timeout", "1"}), {{"FAKE_RANK", "beat 4;raise 19"}});
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(),
              HasSubstr("rank 0 was stopped by signal 19 (SIGSTOP) and did not go on within 1 s at "));
  EXPECT_THAT(job.error(), HasSubstr(", in step 5\n"));
  EXPECT_LT(job.duration_s(), 20);
}

TEST(Attempts, AStoppedRankIsNamedThoughItsPeersGaveUp) {
  Launched job(train(2, {"--timeout", "10"}),
               {{"FAKE_RANK_0", "await noted;report 11 rank 0: all_reduce #7 timed out;exit 11"},
                {"FAKE_RANK_1", "beat 4;raise 19"}});
  wait_for_stop(job);
  write_text(job.folder() / "noted", "");
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(), HasSubstr("error: rank 1 was stopped by signal 19 (SIGSTOP) at "));
  EXPECT_THAT(job.error(), HasSubstr(", in step 5; rank 0: all_reduce #7 timed out\n"));
}

// mpirun has it go on before it ends it; that does not make it a rank that went on, not even if it ends the
// step that the others had given their part for.
TEST(Attempts, AStoppedRankIsNamedThoughItIsContinuedToBeEnded) {
  Launched job(train(2, {"--timeout", "10"}),
               {{"FAKE_RANK_0", "await went_on-1;report 11 rank 0: all_reduce #7 timed out;exit 11"},
                {"FAKE_RANK_1", "beat 4;touch up;raise 19;beat 5;touch went_on;deaf 60"}});
  const pid_t stopped = job.pid_of_rank(1, "up");
  wait_for_stop(job);
  kill(stopped, SIGCONT);
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(), HasSubstr("error: rank 1 was stopped by signal 19 (SIGSTOP) at "));
}

TEST(Attempts, AStopThatIsOverIsForgotten) {
  Launched job(train(1, {"--timeout", "20"}),
               {{"FAKE_RANK", "beat 4;touch up;raise 19;beat 5;beat 6;beat 7;await forgotten;raise 9"}});
  const pid_t stopped = job.pid_of_rank(0, "up");
  wait_for_stop(job);
  kill(stopped, SIGCONT);
  job.wait_for("the end of the stop", [&] { return !has_noted_stop(job); });
  write_text(job.folder() / "forgotten", "");
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(), HasSubstr("rank 0 was ended by signal 9"));
  EXPECT_THAT(job.error(), HasSubstr(", in step 8\n"));
}

TEST(Attempts, ASilentRankIsEnded) {
  Launched job(train(1, {"--timeout", "0.3"}), {{"FAKE_RANK", "beat 4;sleep 60"}});
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(), HasSubstr("rank 0 fell silent: not a step within 0.3 s (--timeout) at "));
  EXPECT_LT(job.duration_s(), 20);
}

TEST(Attempts, ASlowRankIsNot) {
  Launched job(train(1, {"--timeout", "4"}),
               {{"FAKE_RANK", "beat 1;sleep 1.5;beat 2;sleep 1.5;beat 3;sleep 1.5;report 0"}});
  EXPECT_EQ(job.wait(), 0);
}

}  // namespace
}  // namespace lockstep
