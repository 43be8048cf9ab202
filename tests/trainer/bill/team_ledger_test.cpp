#include "trainer/bill/team_ledger.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

constexpr double kNovember = 1762819200.0;  // 2025-11-11
constexpr double kDecember = 1765411200.0;  // 2025-12-11

class TeamLedgerTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "team.jsonl";
};

TEST_F(TeamLedgerTest, AddsUpTheMonthOfAllRuns) {
  TeamLedger a(file_, "/runs/a", 1, "USD");
  TeamLedger b(file_, "/runs/b", 1, "USD");
  EXPECT_DOUBLE_EQ(a.exchange(10.0, kNovember), 0.0);
  EXPECT_DOUBLE_EQ(b.exchange(5.0, kNovember), 10.0);
  EXPECT_DOUBLE_EQ(a.exchange(12.0, kNovember), 5.0);
  EXPECT_DOUBLE_EQ(b.exchange(6.0, kNovember), 12.0);
  // Another attempt of a run counts beside the first.
  EXPECT_DOUBLE_EQ(TeamLedger(file_, "/runs/a", 2, "USD").exchange(1.0, kNovember), 18.0);
  EXPECT_DOUBLE_EQ(TeamLedger::spent(file_, "USD", kNovember), 19.0);
  EXPECT_DOUBLE_EQ(TeamLedger::spent(folder_.path() / "none", "USD", kNovember), 0.0);
}

TEST_F(TeamLedgerTest, AMonthKeepsWhatWasSpentInIt) {
  TeamLedger run(file_, "/runs/a", 1, "USD");
  run.exchange(10.0, kNovember);
  run.exchange(13.0, kDecember);  // 3 since the last exchange
  run.exchange(15.0, kDecember);
  EXPECT_DOUBLE_EQ(TeamLedger::spent(file_, "USD", kNovember), 10.0);
  EXPECT_DOUBLE_EQ(TeamLedger::spent(file_, "USD", kDecember), 5.0);
}

TEST_F(TeamLedgerTest, NeverAddsUpCurrencies) {
  TeamLedger(file_, "/runs/a", 1, "CNY").exchange(912.0, kNovember);
  TeamLedger run(file_, "/runs/b", 1, "USD");
  EXPECT_DOUBLE_EQ(run.exchange(1.0, kNovember), 0.0);
  EXPECT_EQ(run.left_out(), "912.00 CNY");
}

TEST_F(TeamLedgerTest, LosesNothingWhereManyWrite) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      TeamLedger run(file_, "/runs/" + std::to_string(i), 1, "USD");
      for (int amount = 1; amount <= 20; ++amount) run.exchange(amount, kNovember);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_DOUBLE_EQ(TeamLedger::spent(file_, "USD", kNovember), 80.0);
}

TEST_F(TeamLedgerTest, NamesALineThatCannotBeUsed) {
  TeamLedger(file_, "/runs/a", 1, "USD").exchange(1.0, kNovember);
  const std::string good = read_text(file_);
  for (const std::string bad : {"nonsense\n", "{}\n", "\n",
                                "{\"month\":\"2025-11\",\"run\":\"a\",\"attempt\":1,\"amount\":-1,"
                                "\"currency\":\"USD\"}\n"}) {
    write_text(file_, good + bad);
    try {
      TeamLedger::spent(file_, "USD", kNovember);
      ADD_FAILURE() << "accepted: " << bad;
    } catch (const DataError& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("line 2 is no object"));
    }
  }
}

}  // namespace
}  // namespace lockstep
