#include "launch/doctor/host_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/launch/doctor/fake_machine.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

HostResult healthy(const std::string& host, const std::string& other) {
  HostResult result;
  result.host = host;
  result.report = {"0.1.0", "580", 22809, {ok("driver", "580")}, {host, {}, {29500}}};
  result.clock_ahead_s = 0.0004;
  result.clock_uncertainty_s = 0.001;
  result.trials = {{other, "10.0.0.1", {}, 0.0003, 1500}};
  result.answered_trials = true;
  return result;
}

TEST(JudgeHosts, TwoThatReachEachOtherAreFine) {
  const auto sections = judge_hosts({healthy("a", "b"), healthy("b", "a")});
  ASSERT_EQ(sections.size(), 2u);
  EXPECT_EQ(sections[0].host, "a");
  EXPECT_EQ(shown(sections[0].findings),
            "ok: 580\n"
            "ok: reaches 1 of 1 other hosts on all ports tried, in 0.3 ms at most\n"
            "ok: 0.4 ms ahead of this machine's, give or take 1.0 ms");
}

TEST(JudgeHosts, OneThatCannotBeStartedIsAFailureLine) {
  HostResult gone;
  gone.host = "b";
  gone.problem = "ssh: connect to host b port 22: Connection refused";
  HostResult alone = healthy("a", "b");
  alone.trials.clear();
  const auto sections = judge_hosts({alone, gone});
  EXPECT_EQ(count({sections[0]}, Verdict::kFailure), 0);
  EXPECT_EQ(shown(sections[1].findings),
            "failure: lockstep cannot be started there: ssh: connect to host b port 22: Connection refused");
  EXPECT_EQ(judge_hosts({gone}).size(), 1u);
}

TEST(JudgeHosts, ClosedPortsAreNamed) {
  HostResult a = healthy("a", "b");
  a.trials[0].closed = {29500, 32768};
  HostResult b = healthy("b", "a");
  b.trials[0].address = "";
  b.trials[0].closed = {29500};
  const auto sections = judge_hosts({a, b});
  EXPECT_THAT(shown(sections[0].findings),
              HasSubstr("failure: reaches b at 10.0.0.1, but not its ports 29500, 32768"));
  EXPECT_THAT(shown(sections[1].findings),
              HasSubstr("failure: does not reach a on any of its addresses, ports 29500"));
  b.answered_trials = false;
  EXPECT_THAT(shown(judge_hosts({a, b})[1].findings),
              HasSubstr("failure: it did not say which hosts it reaches"));
}

TEST(JudgeHosts, ClocksWaysAndVersionsHaveToAgree) {
  HostResult a = healthy("a", "b");
  HostResult b = healthy("b", "a");
  b.clock_ahead_s = -3.5;
  b.trials[0].mtu = 9000;
  b.report.version = "0.2.0";
  b.report.nccl = 23003;
  b.report.driver = "570";
  const auto sections = judge_hosts({a, b});
  EXPECT_THAT(shown(sections[0].findings),
              HasSubstr("warning: 1500 on the way to b, and 9000 on the way back"));
  const std::string text = shown(sections[1].findings);
  EXPECT_THAT(text, HasSubstr("failure: lockstep 0.2.0, and 0.1.0 on a"));
  EXPECT_THAT(text, HasSubstr("failure: NCCL 23003, and 22809 on a"));
  EXPECT_THAT(text, HasSubstr("warning: driver 570, and 580 on a"));
  EXPECT_THAT(text, HasSubstr("warning: 3.5 s behind this machine's"));
  // What the way there and back may hide is no skew.
  b.clock_uncertainty_s = 4;
  EXPECT_THAT(shown(judge_hosts({a, b})[1].findings), HasSubstr("ok: 3.5 s behind"));
}

TEST(ReasonIn, IsTheFirstLineThatSaysSomething) {
  EXPECT_EQ(reason_in("Warning: Permanently added 'b' to the list of known hosts.\r\n"
                      "ssh: Could not resolve hostname b\r\n-----\nORTE was unable\n"),
            "ssh: Could not resolve hostname b");
  EXPECT_EQ(reason_in("--------\n  mpirun was unable to launch\n"), "mpirun was unable to launch");
  EXPECT_EQ(reason_in("\n---\n"), "");
  EXPECT_EQ(reason_in("a\x1b[31mb\n"), "a [31mb");
  EXPECT_LE(reason_in(std::string(5000, 'x')).size(), 200u);
}

// In mpirun's place a script that says what an agent or a failing ssh would.
TEST(AskHosts, WhatGoesWrongOnOneIsThatOnesProblem) {
  TemporaryFolder folder;
  const auto mpirun = folder.path() / "mpirun";
  write_text(mpirun,
             "#!/bin/sh\n"
             "while [ \"$1\" != --host ]; do shift; done\n"
             "case $2 in\n"
             "  refused) echo 'ssh: connect to host refused port 22: Connection refused' >&2; exit 1;;\n"
             "  damaged) echo '@lockstep-doctor {\"version\"'; read x;;\n"
             "  silent) read x;;\n"
             "  mute) exit 0;;\n"
             "esac\n");
  chmod(mpirun.c_str(), 0755);
  const auto results = ask_hosts({"refused", "damaged", "silent", "mute"}, mpirun, std::chrono::seconds(5));
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[0].problem, "ssh: connect to host refused port 22: Connection refused");
  EXPECT_THAT(results[1].problem, HasSubstr("is damaged"));
  EXPECT_EQ(results[2].problem, "no answer within --timeout");
  EXPECT_EQ(results[3].problem, "it ended without a word");
}

}  // namespace
}  // namespace lockstep
