// Signals and sudden deaths, with the real launcher and the real mpirun.
#include "launch/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <system_error>

#include "tests/launch/launched.h"

namespace lockstep {
namespace {

using testing::HasSubstr;

std::vector<std::string> train(int ranks) {
  return {"train", "--nproc-per-node", std::to_string(ranks), "--run-dir", "run"};
}

std::vector<pid_t> pids(const Launched& job, int ranks) {
  std::vector<pid_t> found;
  for (int rank = 0; rank < ranks; ++rank) {
    found.push_back(job.pid_of_rank(rank, "up"));
  }
  return found;
}

TEST(Supervisor, TheFirstSignalIsAPauseForEveryRank) {
  for (const int ranks : {1, 2}) {
    for (const int signal : {SIGTERM, SIGINT, SIGUSR1, SIGHUP}) {
      Launched job(train(ranks),
                   {{"FAKE_RANK", "touch up;await_pause paused;sleep 0.2;report 10 paused at step 3"}});
      pids(job, ranks);
      job.send(signal);
      EXPECT_EQ(job.wait(), 10) << ranks << " ranks, signal " << signal;
      EXPECT_EQ(
          job.error(),
          "lockstep: pausing after this step; a second signal stops at once\nlockstep: paused at step 3\n");
      for (int rank = 0; rank < ranks; ++rank) {
        EXPECT_TRUE(std::filesystem::exists(job.folder() / ("paused-" + std::to_string(rank))));
      }
    }
  }
}

TEST(Supervisor, APauseDuringStartUpIsNotLost) {
  for (const int ranks : {1, 2}) {
    // The ranks take a second before they listen; the request comes before they have even started.
    Launched job(train(ranks), {{"FAKE_RANK", "sleep 1;await_pause paused;report 10 paused"}});
    job.wait_for("the ranks' start",
                 [&] { return std::filesystem::exists(job.folder() / "run" / ".launch"); });
    job.send(SIGTERM);
    EXPECT_EQ(job.wait(), 10);
  }
}

TEST(Supervisor, ASecondSignalStopsEvenDeafRanks) {
  for (const int ranks : {1, 2}) {
    Launched job(train(ranks), {{"FAKE_RANK", "touch up;deaf 60"}});
    const auto ranks_up = pids(job, ranks);
    job.send(SIGTERM);
    job.wait_for_error("pausing");
    job.send(SIGTERM);
    EXPECT_EQ(job.wait(), 11);
    EXPECT_THAT(job.error(), HasSubstr("lockstep: error: stopped by a second signal"));
    EXPECT_LT(job.duration_s(), 40);
    for (const pid_t pid : ranks_up) {
      EXPECT_TRUE(ends_within(pid, 0.1));
    }
  }
}

TEST(Supervisor, AClosingTerminalsManyHangUpsAreOnePause) {
  Launched job(train(2), {{"FAKE_RANK", "touch up;await_pause paused;sleep 0.5;report 10 paused"}});
  pids(job, 2);
  job.send(SIGHUP);
  job.wait_for_file("paused-0");
  job.send(SIGHUP);
  job.send(SIGHUP);
  EXPECT_EQ(job.wait(), 10);
}

TEST(Supervisor, NobodySurvivesTheLauncher) {
  for (const int ranks : {1, 2}) {
    for (const char* script : {"touch up;sleep 60", "touch up;deaf 60"}) {
      Launched job(train(ranks), {{"FAKE_RANK", script}});
      const auto ranks_up = pids(job, ranks);
      job.send(SIGKILL);
      EXPECT_EQ(job.wait(), 128 + SIGKILL);
      for (const pid_t pid : ranks_up) {
        EXPECT_TRUE(ends_within(pid, 10)) << ranks << " ranks, " << script;
      }
    }
  }
}

pid_t parent_of(pid_t pid) {
  const std::string stat = read_text("/proc/" + std::to_string(pid) + "/stat");
  return std::stoi(stat.substr(stat.rfind(')') + 4));  // ") S ppid"
}

TEST(Supervisor, WhatStandsBetweenIsKilled) {
  // With two ranks that is mpirun, with one the process beside the rank.
  for (const int ranks : {1, 2}) {
    Launched job(train(ranks), {{"FAKE_RANK", "touch up;deaf 60"}});
    const auto ranks_up = pids(job, ranks);
    const pid_t beside = parent_of(ranks_up[0]);
    kill(ranks == 1 ? beside : parent_of(beside), SIGKILL);
    EXPECT_EQ(job.wait(), 11);
    EXPECT_EQ(job.error(),
              "lockstep: error: rank 0 left no report (mpirun ended with 137); it was killed, or its host "
              "was lost\n");
    for (const pid_t pid : ranks_up) {
      EXPECT_TRUE(ends_within(pid, 0.1));
    }
  }
}

TEST(Supervisor, AFolderOfAKilledLauncherIsRemovedByALaterOne) {
  const TemporaryFolder folder;
  const auto launch = folder.path() / ".launch";
  write_text(launch / "1-abandoned" / "rank-0.json", "{}");
  std::filesystem::last_write_time(launch / "1-abandoned",
                                   std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  Launched job({"train", "--run-dir", folder.path().string()}, {{"FAKE_RANK", "report 0"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(launch));
}

TEST(Supervisor, ACommandThatCannotBeStarted) {
  const SupervisedJob job{{{"/no/such/program"}, {}}, true, 1, "/nowhere", [](const std::string&) {}};
  EXPECT_THROW(run_job(job, JobSignals()), std::system_error);
}

TEST(Supervisor, StatusOfTheCommand) {
  const auto status_of = [](const char* script) {
    return run_job({{{"/bin/sh", "-c", script}, {}}, true, 1, "/nowhere", [](const std::string&) {}},
                   JobSignals())
        .status;
  };
  EXPECT_EQ(status_of("exit 0"), 0);
  EXPECT_EQ(status_of("exit 7"), 7);
  EXPECT_EQ(status_of("kill -9 $$"), 128 + SIGKILL);
}

TEST(Supervisor, ProcessesLeftInTheSessionAreEnded) {
  const TemporaryFolder folder;
  const std::string script = "trap '' TERM HUP; sleep 60 & echo $! > " + (folder.path() / "pid").string();
  const JobStatus ended = run_job(
      {{{"/bin/sh", "-c", script}, current_environment()}, true, 1, "/nowhere", [](const std::string&) {}},
      JobSignals());
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(ends_within(std::stoi(read_text(folder.path() / "pid")), 0.1));
}

}  // namespace
}  // namespace lockstep
