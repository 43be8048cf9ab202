#include "trainer/bill/budget_gate.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "tests/temporary_folder.h"
#include "trainer/cost/ledger.h"

namespace lockstep {
namespace {

class BudgetGateTest : public ::testing::Test {
 protected:
  BudgetGateTest() {
    config_.price_per_gpu_hour = 2.0;
    config_.budget = 100.0;
  }
  std::optional<BudgetRefusal> ask(int gpus = 1) { return refuse_to_start(config_, folder_.path(), gpus); }
  void spend(double hours) {
    LedgerRecord record;
    record.start_unix_s = record.end_unix_s = 1.7e9;
    record.running_s = hours * 3600.0;
    record.price_per_gpu_hour = 2.0;
    record.reason = "paused";
    write_text(folder_.path() / "ledger.jsonl", to_line(record) + "\n");
  }
  TemporaryFolder folder_;
  TrainConfig config_;
};

TEST_F(BudgetGateTest, LetsANewRunStart) {
  EXPECT_FALSE(ask().has_value());
  config_.budget = 0.0;
  spend(1e6);
  EXPECT_FALSE(ask().has_value());
}

TEST_F(BudgetGateTest, RefusesABudgetThatIsSpent) {
  spend(50.0);
  try {
    ask();
    ADD_FAILURE() << "accepted";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(),
                 "--budget: $100.00 is no more than the $100.00 that the run has cost already; give a higher "
                 "one, or none");
  }
  config_.fresh = true;  // a new run, which has cost nothing
  EXPECT_FALSE(ask().has_value());
}

TEST_F(BudgetGateTest, RefusesWhatStartsBeyondTheMark) {
  spend(40.0);  // the mark
  const auto refusal = ask();
  ASSERT_TRUE(refusal.has_value());
  EXPECT_FALSE(refusal->may_go_on);
  EXPECT_NE(refusal->reason.find("$80.00 are spent"), std::string::npos) << refusal->reason;
}

TEST_F(BudgetGateTest, CountsHowLongTheLastStartTook) {
  LedgerRecord record;
  record.running_s = 3600.0 * 39.5;  // $79
  record.price_per_gpu_hour = 2.0;
  record.reason = "paused";
  for (const double start_s : {1799.0, 1801.0}) {  // half an hour is a dollar
    record.parts[RunPart::kStartUp] = start_s;
    write_text(folder_.path() / "ledger.jsonl", to_line(record) + "\n");
    EXPECT_EQ(ask().has_value(), start_s > 1800.0) << start_s;
  }
}

TEST_F(BudgetGateTest, RefusesAFirstGranuleThatIsTooDear) {
  config_.billing = "per-hour";
  EXPECT_FALSE(ask(40).has_value());  // $80
  EXPECT_TRUE(ask(41).has_value());
}

TEST_F(BudgetGateTest, GoesByWhatTheLastAttemptMeasured) {
  spend(10.0);
  const auto left = [&](const std::string& remaining_s, const std::string& more = "") {
    write_text(folder_.path() / "metrics.jsonl",
               R"({"kind":"start","attempt":1,"world_size":2,"max_epochs":1,"max_steps":-1})"
               "\n"
               R"({"kind":"train","attempt":1,"step":9,"remaining_s":)" +
                   remaining_s + "}\n" + more);
    return ask(2);
  };
  EXPECT_FALSE(left("53999").has_value());  // 15 h x 2 GPUs x $2 + $20 = $80
  const auto refusal = left("54001");
  ASSERT_TRUE(refusal.has_value());
  EXPECT_TRUE(refusal->may_go_on);
  EXPECT_NE(refusal->reason.find("--yes"), std::string::npos);
  EXPECT_FALSE(ask(1).has_value());  // another number of GPUs: nobody has measured that
  config_.yes = true;
  EXPECT_FALSE(ask(2).has_value());
  config_.yes = false;
  EXPECT_FALSE(left("54001", R"({"kind":"end","attempt":1,"reason":"finished"})"
                             "\n")
                   .has_value());
}

}  // namespace
}  // namespace lockstep
