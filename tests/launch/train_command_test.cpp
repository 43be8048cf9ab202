// `lockstep train` with the real mpirun: exit codes, messages, output, environment.
#include "launch/train_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <regex>
#include <sstream>

#include "tests/launch/launched.h"

namespace lockstep {
namespace {

namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;
using testing::MatchesRegex;

std::vector<std::string> with_ranks(int ranks, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"train", "--nproc-per-node", std::to_string(ranks), "--run-dir", "run"});
  return more;
}

std::vector<std::string> sorted_lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST(TrainCommand, AllFinished) {
  Launched job(with_ranks(2), {{"FAKE_RANK", "report 0"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_EQ(job.output(), "");
  EXPECT_EQ(job.error(), "");
  EXPECT_FALSE(fs::exists(job.folder() / "run"));  // nothing was left in it, and it was not there before
}

TEST(TrainCommand, AgreedCodesPassWhetherReturnedOrOnlyReported) {
  for (const int code : {10, 12}) {
    const std::string report = "report " + std::to_string(code) + " saved at step 7";
    for (const std::string& script : {report, report + ";exit " + std::to_string(code)}) {
      Launched job(with_ranks(2), {{"FAKE_RANK", script}});
      EXPECT_EQ(job.wait(), code) << script;
      EXPECT_EQ(job.error(), "lockstep: saved at step 7\n");
    }
  }
}

TEST(TrainCommand, OneRankTakesTheSamePathsWithoutMpirun) {
  for (const auto& [script, code] : std::vector<std::pair<std::string, int>>{{"report 0", 0},
                                                                             {"report 10 p", 10},
                                                                             {"report 2 u;exit 2", 2},
                                                                             {"report 3 b;exit 3", 3},
                                                                             {"exit 0", 11}}) {
    Launched job(with_ranks(1), {{"FAKE_RANK", script}, {"PATH", "/nothing/here"}});
    EXPECT_EQ(job.wait(), code) << script;
  }
}

TEST(TrainCommand, RunsACommandWhenTheRunHasEndedWell) {
  const std::vector<std::string> options = {"--on-finish", "touch 'a file' b\\ c", "--on-finish-delay", "0"};
  Launched good(with_ranks(1, options), {{"FAKE_RANK", "report 0"}});
  EXPECT_EQ(good.wait(), 0);
  EXPECT_TRUE(fs::exists(good.folder() / "a file"));
  EXPECT_TRUE(fs::exists(good.folder() / "b c"));
  EXPECT_THAT(good.error(), HasSubstr("--on-finish runs touch 'a file' 'b c'"));
  Launched paused(with_ranks(1, options), {{"FAKE_RANK", "report 10 p"}});
  EXPECT_EQ(paused.wait(), 10);
  EXPECT_FALSE(fs::exists(paused.folder() / "a file"));
}

TEST(TrainCommand, ACommandThatFailsIsSaidAndChangesNoExitCode) {
  for (const auto& [command, problem] : std::vector<std::pair<std::string, std::string>>{
           {"false", "false ended with code 1"}, {"/no/such/program", "cannot be started"}}) {
    Launched job(with_ranks(1, {"--on-finish", command, "--on-finish-delay=0", "--on-finish-when=stopped"}),
                 {{"FAKE_RANK", "report 12 p"}});
    EXPECT_EQ(job.wait(), 12);
    EXPECT_THAT(job.error(), HasSubstr(problem));
  }
}

TEST(TrainCommand, TheCountdownCanBeCancelled) {
  Launched job(with_ranks(1, {"--on-finish", "touch done", "--on-finish-delay", "60"}),
               {{"FAKE_RANK", "report 0"}});
  job.wait_for_error("Ctrl-C cancels");
  job.send(SIGINT);
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.error(), HasSubstr("cancelled"));
  EXPECT_FALSE(fs::exists(job.folder() / "done"));
}

TEST(TrainCommand, RefusesABillThatCannotBeBeforeAnythingIsStarted) {
  for (const auto& [options, problem] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--gpu-type", "A10O"}, "the price table has no GPU A10O; did you mean A100"},
           {{"--on-finish", "'open"}, "--on-finish: a ' is not closed"},
           {{"--off-peak", "22:00-22:00"}, "--off-peak: \"22:00-22:00\": it closes when it opens"},
           {{"--off-peak", "22:00-06:00,Mars/Olympus"}, "there is no time zone Mars/Olympus"},
           {{"--budget", "5"}, "--budget needs a price"},
           {{"--spot"}, "--spot needs --gpu-type"}}) {
    Launched job(with_ranks(1, options), {{"FAKE_RANK", "touch started;report 0"}});
    EXPECT_EQ(job.wait(), 2) << problem;
    EXPECT_THAT(job.error(), HasSubstr(problem));
    EXPECT_FALSE(fs::exists(job.folder() / "started-0"));
  }
}

TEST(TrainCommand, BadInputOfOneRankWins) {
  Launched job(with_ranks(3), {{"FAKE_RANK_1", "report 3 train-labels is cut short;touch said;exit 3"},
                               {"FAKE_RANK", "await said-1;report 11 rank 1 is gone;exit 11"}});
  EXPECT_EQ(job.wait(), 3);
  EXPECT_EQ(job.error(), "lockstep: error: rank 1: train-labels is cut short\n");
}

TEST(TrainCommand, TheSameErrorOfAllRanksIsSaidOnce) {
  Launched job(with_ranks(3), {{"FAKE_RANK", "report 2 --model: no such model;exit 2"}});
  EXPECT_EQ(job.wait(), 2);
  EXPECT_EQ(job.error(), "lockstep: error: --model: no such model\n");
}

TEST(TrainCommand, AKilledRankIsNamedAndEndsTheJob) {
  Launched job(with_ranks(3), {{"FAKE_RANK", "touch up;sleep 60"}});
  std::vector<pid_t> ranks;
  for (int rank = 0; rank < 3; ++rank) {
    ranks.push_back(job.pid_of_rank(rank, "up"));
  }
  kill(ranks[1], SIGKILL);
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(),
              MatchesRegex("lockstep: error: rank 1 was ended by signal 9 \\(SIGKILL: by hand, or "
                           "because memory ran out\\) at [0-9:]+\n"));
  for (const pid_t rank : ranks) {
    EXPECT_TRUE(ends_within(rank, 0.1));
  }
  EXPECT_FALSE(fs::exists(job.folder() / "run" / ".launch"));
}

TEST(TrainCommand, ACrashedRankIsNamedWithWhatItsPeerSays) {
  Launched job(with_ranks(2),
               {{"FAKE_RANK_1", "await said-0;raise 11"},
                {"FAKE_RANK_0", "report 11 all_reduce #42 at step 7: rank 1 is gone;touch said;sleep 60"}});
  EXPECT_EQ(job.wait(), 11);
  EXPECT_THAT(job.error(), MatchesRegex("lockstep: error: rank 1 was ended by signal 11 \\(SIGSEGV\\) at "
                                        "[0-9:]+; rank 0: all_reduce #42 at step 7: rank 1 is gone\n"));
}

TEST(TrainCommand, ARankThatLeavesWithoutAWordEndsTheOthers) {
  for (const int code : {0, 1}) {
    Launched job(with_ranks(2),
                 {{"FAKE_RANK_1", "exit " + std::to_string(code)}, {"FAKE_RANK_0", "sleep 60"}});
    EXPECT_EQ(job.wait(), 11);
    EXPECT_THAT(job.error(), HasSubstr("lockstep: error: rank 1 left with code " + std::to_string(code)));
    EXPECT_LT(job.duration_s(), 40);
  }
}

TEST(TrainCommand, Rank0PassesUntouchedAndOthersAreLabelled) {
  Launched job(with_ranks(3),
               {{"FAKE_RANK_0", "print 10%\\r20%\\r;print 100%\\n;error warn\\n;report 0"},
                {"FAKE_RANK", "print one\\ntwo;sleep 0.1;print  more\\nlast;error oops\\n;report 0"}});
  EXPECT_EQ(job.wait(), 0);
  const std::regex labelled("\\[rank [0-9]\\] [^\n]*\n");  // may come between two of rank 0's
  EXPECT_EQ(std::regex_replace(job.output(), labelled, ""), "10%\r20%\r100%\n");
  const std::string& output = job.output();
  std::string others;
  for (std::sregex_iterator line(output.begin(), output.end(), labelled), end; line != end; ++line) {
    others += line->str();
  }
  EXPECT_THAT(sorted_lines(others),
              testing::ElementsAre("[rank 1] last", "[rank 1] one", "[rank 1] two more", "[rank 2] last",
                                   "[rank 2] one", "[rank 2] two more"));
  EXPECT_THAT(sorted_lines(job.error()), testing::ElementsAre("[rank 1] oops", "[rank 2] oops", "warn"));
}

// Up to the 4 KiB that mpirun reads at a time (docs/launch.md).
TEST(TrainCommand, LinesOfManyRanksAreNotTorn) {
  const std::string line = std::string(100, 'x') + "\\n";
  std::string one_by_one;          // rank 0's: its writes are its own
  std::string at_once = "print ";  // with their labels, more than kTerminalPiece
  for (int i = 0; i < 20; ++i) {
    one_by_one += "print " + line + ";";
    at_once += line;
  }
  Launched job(with_ranks(4),
               {{"FAKE_RANK_0", one_by_one + "report 0"}, {"FAKE_RANK", at_once + ";report 0"}});
  EXPECT_EQ(job.wait(), 0);
  const auto lines = sorted_lines(job.output());
  EXPECT_EQ(lines.size(), 80u);
  for (const std::string& printed : lines) {
    EXPECT_EQ(printed.substr(printed.find(']') == std::string::npos ? 0 : 9), std::string(100, 'x'));
  }
}

TEST(TrainCommand, ATerminalIsAnnouncedAndLabelsWipeTheBarsLine) {
  Launched job(
      with_ranks(2),
      {{"FAKE_RANK_0", "getenv LOCKSTEP_TTY_COLUMNS;report 0"}, {"FAKE_RANK_1", "print hello\\n;report 0"}},
      /*terminal_columns=*/123);
  EXPECT_EQ(job.wait(), 0);
  const std::string ours = "LOCKSTEP_TTY_COLUMNS=123\n";
  const std::string labelled = "\r\x1b[K[rank 1] hello\n";
  EXPECT_THAT(job.output(), AnyOf(ours + labelled, labelled + ours));
}

TEST(TrainCommand, WhatRanksFindInTheirEnvironment) {
  const std::string script =
      "getenv OMP_NUM_THREADS;getenv MALLOC_MMAP_MAX_;getenv MALLOC_TOP_PAD_;getenv LOCKSTEP_LAUNCHER;getenv "
      "RANK;"
      "getenv LOCKSTEP_TTY_COLUMNS;getenv LOCKSTEP_LAUNCH_TIME_NS;arguments;report 0";
  const double before_s = monotonic_s();
  Launched job(
      with_ranks(2, {"--num-threads", "3", "--lr=0.5", "--fresh"}),
      {{"FAKE_RANK_0", script}, {"FAKE_RANK", "report 0"}, {"MALLOC_TOP_PAD_", "4096"}, {"RANK", "7"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.output(),
              HasSubstr("OMP_NUM_THREADS=3\nMALLOC_MMAP_MAX_=0\nMALLOC_TOP_PAD_=4096\n"
                        "LOCKSTEP_LAUNCHER=1\nRANK=\nLOCKSTEP_TTY_COLUMNS=\nLOCKSTEP_LAUNCH_TIME_NS="));
  EXPECT_THAT(job.output(), HasSubstr("\n--run-dir=run\n--num-threads=3\n--lr=0.5\n--fresh=true\n"));
  const std::size_t at = job.output().find("TIME_NS=") + 8;
  const double launched_s = std::stod(job.output().substr(at)) * 1e-9;
  EXPECT_GE(launched_s, before_s);
  EXPECT_LE(launched_s, monotonic_s());
}

TEST(TrainCommand, UsageErrorsStartNothing) {
  for (const auto& [arguments, part] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {with_ranks(0), "--nproc-per-node"},
           {with_ranks(2, {"--lr", "nan"}), "--lr"},
           {with_ranks(2, {"--bach-size", "8"}), "--batch-size"},
           {with_ranks(2, {"--nproc-per-nod=8"}), "--nproc-per-node"},
           {with_ranks(2, {"--resume", "--fresh"}), "--resume"},
           {with_ranks(2, {"--nnodes", "2"}), "--hostfile"},
           {with_ranks(2, {"--warm-heap", "maybe"}), "on, off"},
           {with_ranks(2, {"--max-restarts", "1", "--min-nproc", "3"}),
            "more than the 2 ranks to start with"},
           {{"trian"}, "train"},
           {{}, "lockstep train"}}) {
    Launched job(arguments, {{"FAKE_RANK", "touch started"}});
    EXPECT_EQ(job.wait(), 2) << part;
    EXPECT_THAT(job.error(), testing::StartsWith("lockstep: error: "));
    EXPECT_THAT(job.error(), HasSubstr(part));
    EXPECT_EQ(std::count(job.error().begin(), job.error().end(), '\n'), 1);
    EXPECT_FALSE(fs::exists(job.folder() / "run"));
    EXPECT_FALSE(fs::exists(job.folder() / "started-0"));
  }
}

TEST(TrainCommand, BadInputStartsNothing) {
  const auto expect_bad = [](std::vector<std::string> arguments, const std::string& part,
                             const Launched::Variables& variables = {}) {
    Launched job(arguments, variables);
    EXPECT_EQ(job.wait(), 3) << part;
    EXPECT_THAT(job.error(), HasSubstr(part));
    EXPECT_EQ(std::count(job.error().begin(), job.error().end(), '\n'), 1);
  };
  expect_bad(with_ranks(2, {"--hostfile", "missing"}), "missing");
  expect_bad(with_ranks(2, {"--config", "missing.toml"}), "missing.toml");
  expect_bad({"train", "--run-dir", "stderr.txt/run"}, "stderr.txt/run");
  expect_bad(with_ranks(2), "openmpi-bin", {{"PATH", "/nothing/here"}});
  expect_bad(with_ranks(2), "/no/such/program", {{"LOCKSTEP_TRAIN_PROGRAM", "/no/such/program"}});
}

TEST(TrainCommand, AHostfileIsPassedOn) {
  Launched job({"train", "--nproc-per-node=2", "--run-dir=run", "--hostfile=/dev/stdin"});
  EXPECT_EQ(job.wait(), 3);  // empty: names no host
  TemporaryFolder folder;
  write_text(folder.path() / "hosts", "localhost slots=1\n");
  Launched local(
      {"train", "--nproc-per-node=2", "--run-dir=run", "--hostfile", (folder.path() / "hosts").string()},
      {{"FAKE_RANK", "print up\\n;report 0"}});
  EXPECT_EQ(local.wait(), 0) << local.error();
  EXPECT_THAT(sorted_lines(local.output()), testing::ElementsAre("[rank 1] up", "up"));
}

TEST(TrainCommand, DryRunPrintsOneLineAndStartsNothing) {
  Launched job(with_ranks(2, {"--dry-run", "--data=a b"}), {{"FAKE_RANK", "touch started"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_THAT(job.output(), testing::StartsWith("env "));
  EXPECT_THAT(job.output(), HasSubstr("mpirun"));
  EXPECT_THAT(job.output(), HasSubstr("'--data=a b'"));
  EXPECT_THAT(job.output(), HasSubstr("OMP_NUM_THREADS="));
  EXPECT_EQ(std::count(job.output().begin(), job.output().end(), '\n'), 1);
  EXPECT_FALSE(fs::exists(job.folder() / "run"));
}

TEST(TrainCommand, WhatWasInTheRunFolderStays) {
  Launched job({"train", "--run-dir=."}, {{"FAKE_RANK", "report 0"}});
  EXPECT_EQ(job.wait(), 0);
  EXPECT_TRUE(fs::exists(job.folder() / "stdout.txt"));
  EXPECT_FALSE(fs::exists(job.folder() / ".launch"));
}

TEST(TrainCommand, HelpAnswersWithin50Ms) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--help"}, {"help", "train"}, {"train", "--help"}, {"--version"}}) {
    // The quickest of 10 s: what other programs take from it is not the command's.
    double quickest_s = std::numeric_limits<double>::infinity();
    for (const double end_s = monotonic_s() + 10; quickest_s >= 0.050 && monotonic_s() < end_s;) {
      Launched job(arguments);
      EXPECT_EQ(job.wait(), 0);
      quickest_s = std::min(quickest_s, job.duration_s());
      EXPECT_EQ(job.error(), "");
      EXPECT_NE(job.output(), "");
    }
    EXPECT_LT(quickest_s, 0.050);
  }
}

TEST(TrainCommand, HelpShowsBothGroupsIn100Columns) {
  std::istringstream lines(train_command_help());
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 100u) << line;
  }
  EXPECT_THAT(train_command_help(), HasSubstr("How it is started:"));
  EXPECT_THAT(train_command_help(), HasSubstr("--nproc-per-node N"));
  EXPECT_THAT(train_command_help(), HasSubstr("Optimisation:"));
}

}  // namespace
}  // namespace lockstep
