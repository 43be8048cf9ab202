#include "trainer/bill/run_bill.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/temporary_folder.h"
#include "tests/thread_time.h"
#include "trainer/bill/team_ledger.h"
#include "trainer/cost/bill.h"
#include "trainer/cost/launch_moment.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;

class RunBillTest : public ::testing::Test {
 protected:
  RunBillTest() {
    config_.price_per_gpu_hour = 3600.0;  // a dollar a second
    size_.total_steps = 1000;
    size_.steps_per_epoch = 100;
  }
  RunBill bill() {
    const auto keep = [this](const std::string& line) { lines_.push_back(line); };
    return RunBill(run_dir_, config_, size_, {keep, keep, keep});
  }
  // As the training loop would, `step` having taken 2 ms of which half was waiting for data.
  static bool step(RunBill& bill, std::int64_t step) {
    std::this_thread::sleep_for(2ms);
    StepTimes times{.steps = 1, .parts_ns = {1'000'000, 500'000, 500'000, 0, 0, 0}};
    return bill.stepped(step, times);
  }
  LedgerRecord last_record() { return read_ledger(run_dir_.ledger_file()).back(); }

  TemporaryFolder folder_;
  const RunDir run_dir_{folder_.path()};
  TrainConfig config_;
  RunSize size_;
  std::vector<std::string> lines_;
};

TEST_F(RunBillTest, ThePartsAddUpToTheWhole) {
  RunBill run = bill();
  for (int i = 1; i <= 5; ++i) step(run, i);
  run.enter(RunPart::kEvaluation);
  std::this_thread::sleep_for(20ms);
  run.enter(RunPart::kIdle);
  run.enter(RunPart::kCheckpoint);
  std::this_thread::sleep_for(10ms);
  run.enter(RunPart::kIdle);
  run.close("finished");
  const LedgerRecord record = last_record();
  EXPECT_NEAR(record.parts.total_s(), record.running_s, 1e-9);
  EXPECT_GE(record.parts[RunPart::kEvaluation], 0.02);
  EXPECT_GE(record.parts[RunPart::kCheckpoint], 0.01);
  EXPECT_NEAR(record.parts[RunPart::kData], 5e-3, 1e-9);
  EXPECT_NEAR(record.parts[RunPart::kCompute], 5e-3, 1e-9);
  EXPECT_EQ(record.step, 5);
  const double running_s = run.running_s();
  const Costs costs = run.costs(5, 0.05, 640);
  EXPECT_GE(*costs.spend.amount, running_s);
  EXPECT_LE(*costs.spend.amount, run.running_s());
  EXPECT_NEAR(*costs.per_epoch, *costs.spend.amount / 0.05, 1e-9);
  EXPECT_NEAR(*costs.per_million, *costs.spend.amount / 640 * 1e6, 1e-6);
  EXPECT_FALSE(costs.budget_share.has_value());
}

TEST_F(RunBillTest, StepsDoneBeforeAreRework) {
  {
    RunBill run = bill();
    EXPECT_EQ(run.attempt(), 1);
    for (int i = 1; i <= 5; ++i) EXPECT_FALSE(step(run, i));
    run.close("failed");
  }
  RunBill run = bill();
  EXPECT_EQ(run.attempt(), 2);
  EXPECT_TRUE(step(run, 4));
  EXPECT_TRUE(step(run, 5));
  EXPECT_FALSE(step(run, 6));
  run.close("finished");
  EXPECT_NEAR(last_record().parts[RunPart::kRework], 4e-3, 1e-9);
  EXPECT_EQ(total_of(bill_of(read_ledger(run_dir_.ledger_file()))).amounts.size(), 1u);
}

// The launcher saw how far the ranks had come, which their files need not tell.
TEST_F(RunBillTest, StepsThatTheLauncherSawAreReworkToo) {
  size_.reached_step = 8;
  RunBill run = bill();
  EXPECT_TRUE(step(run, 8));
  EXPECT_FALSE(step(run, 9));
}

TEST_F(RunBillTest, WarnsAtHalfAndStopsAtTheMark) {
  config_.budget = 1.0;
  config_.budget_stop = 0.8;
  size_.total_steps = 20;  // few enough to fit
  RunBill run = bill();
  step(run, 1);
  EXPECT_FALSE(run.must_stop(2));
  EXPECT_FALSE(run.is_at_mark());
  const double running_s = run.running_s();
  const double share = *run.costs(1, 0.1, 1).budget_share;
  EXPECT_GE(share, running_s);
  EXPECT_LE(share, run.running_s());
  std::this_thread::sleep_for(510ms);
  step(run, 2);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_NE(lines_[0].find("half of the budget of $1.00 (mark: $0.8000)"), std::string::npos) << lines_[0];
  EXPECT_TRUE(run.must_stop(3));
  EXPECT_TRUE(run.is_at_mark());  // saving and leaving takes 0.3 s
  EXPECT_EQ(run.stop_reason(), "budget");
  EXPECT_NE(run.stop_message().find("raise --budget to go on"), std::string::npos);
}

TEST_F(RunBillTest, AnEvaluationThatWouldNotFitIsNotBegun) {
  config_.budget = 10.0;
  config_.budget_stop = 0.1;
  size_.total_steps = 8;
  size_.steps_per_epoch = 4;
  size_.samples_per_step = 1;
  size_.test_samples = 2000;  // at half a millisecond each: a second
  RunBill run = bill();
  step(run, 1);
  step(run, 2);
  EXPECT_FALSE(run.must_stop(3));
  EXPECT_TRUE(run.must_stop(4));
  EXPECT_TRUE(run.must_stop(8));
}

TEST_F(RunBillTest, RefusesWhatWillCostTooMuchOnceItIsMeasured) {
  config_.budget = 1000.0;
  size_.total_steps = 1'000'000;  // at 2 ms and more
  for (const bool yes : {false, true}) {
    config_.yes = yes;
    lines_.clear();
    RunBill run = bill();
    for (int i = 1; i <= 5; ++i) step(run, i);
    EXPECT_FALSE(run.must_stop(6));
    step(run, 6);  // the third that counts: even the quickest would be too dear
    EXPECT_EQ(run.must_stop(7), !yes);
    if (yes) {
      for (int i = 7; i <= 13; ++i) step(run, i);
    }
    if (yes) {
      ASSERT_EQ(lines_.size(), 1u);
      EXPECT_NE(lines_[0].find("it will save and stop at the mark"), std::string::npos) << lines_[0];
    } else {
      EXPECT_EQ(run.stop_reason(), "projection");
      EXPECT_NE(run.stop_message().find("go on up to the mark with --yes"), std::string::npos);
      EXPECT_NE(run.stop_message().find("stopped after step 6, which has cost $"), std::string::npos)
          << run.stop_message();
    }
  }
}

// The quickest steps alone would fit: it takes ten of them to say that the run does not.
TEST_F(RunBillTest, WaitsForMoreStepsWhereTheFirstLeaveItOpen) {
  config_.budget = 1000.0;
  size_.total_steps = 40'000;  // the mark is 20 ms a step
  RunBill run = bill();
  for (int i = 1; i <= 12; ++i) {
    std::this_thread::sleep_for(i >= 4 && i <= 6 ? 0ms : 40ms);
    step(run, i);
    EXPECT_FALSE(run.must_stop(i + 1)) << i;
  }
  std::this_thread::sleep_for(40ms);
  step(run, 13);
  EXPECT_TRUE(run.must_stop(14));
}

TEST_F(RunBillTest, TheLedgerRemembersWithHowManyRanksTheRunGoesOn) {
  config_.adaptive_ranks = "loss<0.5:3";
  size_.gpus = 4;
  size_.logical_world_size = 4;
  RunBill run = bill();
  for (int i = 1; i <= 50; ++i) {
    EXPECT_EQ(run.fewer_ranks(), 0);
    step(run, i);
    run.observe_loss(i, 0.4);
  }
  EXPECT_EQ(run.fewer_ranks(), 2);
  EXPECT_EQ(run.fewer_ranks_condition(), "loss<0.5");
  run.close(kFewerRanks);
  EXPECT_EQ(last_record().next_ranks, 2);
  EXPECT_EQ(decided_ranks(read_ledger(run_dir_.ledger_file())), 2);
}

TEST_F(RunBillTest, StopsBeforeTheGranuleThatWouldCrossTheMark) {
  config_.billing = "per-minute";
  config_.budget = 120.0;
  config_.budget_stop = 0.5;  // one granule
  size_.total_steps = 20;
  // Leaving is taken to need a fifth of what starting did, 10 s at most.
  for (const auto& [launched_ago, stops] : {std::pair{30s, false}, {52s, true}}) {
    std::filesystem::remove(run_dir_.ledger_file());
    const auto launched = std::chrono::steady_clock::now() - launched_ago;
    setenv("LOCKSTEP_LAUNCH",
           launch_moment(std::chrono::nanoseconds(launched.time_since_epoch()).count()).to_text().c_str(), 1);
    RunBill run = bill();
    step(run, 1);
    EXPECT_EQ(run.must_stop(2), stops);
    EXPECT_DOUBLE_EQ(*run.costs(1, 0.1, 1).spend.amount, 60.0);
  }
  unsetenv("LOCKSTEP_LAUNCH");
}

// Twice the 0.5 s that the attempt before took to leave is more than the 0.8 s up to the mark; twice 0.1 s is
// not.
TEST_F(RunBillTest, KeepsBackWhatLeavingTookBefore) {
  for (const double leaving_s : {0.1, 0.5}) {
    std::filesystem::remove(run_dir_.ledger_file());
    config_.budget = 0.0;
    bill().close("paused");
    LedgerRecord before = last_record();
    before.running_s = 1.0;
    before.leaving_s = leaving_s;
    std::ofstream(run_dir_.ledger_file(), std::ios::app) << to_line(before) << "\n";
    config_.budget = 3.6;
    config_.budget_stop = 0.5;
    EXPECT_EQ(bill().is_at_mark(), leaving_s == 0.5) << leaving_s;
  }
}

TEST_F(RunBillTest, ATeamsBudgetCountsWhatOthersHaveSpent) {
  config_.budget = 100.0;
  config_.budget_ledger = (folder_.path() / "team.jsonl").string();
  size_.total_steps = 20;
  {
    RunBill run = bill();
    step(run, 1);
    EXPECT_FALSE(run.must_stop(2));
    run.close("paused");
  }
  TeamLedger other(config_.budget_ledger, "/runs/other", 1, "USD");
  const double ours = other.exchange(79.9, unix_seconds());
  EXPECT_GT(ours, 0.0);
  RunBill run = bill();
  EXPECT_NEAR(*run.costs(1, 0.1, 1).budget_share, (79.9 + ours) / 100.0, 0.005);
  EXPECT_TRUE(run.must_stop(2));
  other.exchange(100.0, unix_seconds());
  EXPECT_THROW(bill(), std::invalid_argument);
}

TEST_F(RunBillTest, MetersCheaply) {
  config_.budget = 1e9;
  size_.total_steps = 1'000'000'000;
  RunBill run = bill();
  const StepTimes times{.steps = 1, .parts_ns = {1, 1, 1, 0, 0, 0}};
  constexpr int kSteps = 20000;
  const double begin_s = testing::thread_time_s();
  for (int i = 1; i <= kSteps; ++i) {
    run.must_stop(i);
    run.stepped(i, times);
  }
  const double step_us = (testing::thread_time_s() - begin_s) / kSteps * 1e6;
  std::printf("metering takes %.2f us a step\n", step_us);
  EXPECT_LT(step_us, 15.0);
}

}  // namespace
}  // namespace lockstep
