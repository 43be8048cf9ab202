#include "trainer/cost/ledger_writer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <thread>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "trainer/cost/launch_moment.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;

class LedgerWriterTest : public ::testing::Test {
 protected:
  static Tariff tariff() {
    Tariff tariff;
    tariff.price = {1.5, "USD"};
    tariff.source = "list";
    return tariff;
  }
  LedgerWriter writer(int attempt, std::chrono::milliseconds heartbeat = 1h) {
    return LedgerWriter(file_, first_record(attempt, tariff(), 8, 0.0, "launch"), meter_, parts_, warn_,
                        heartbeat);
  }
  LedgerRecord last() { return read_ledger(file_).back(); }

  TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "ledger.jsonl";
  // The heartbeat's thread reads it too.
  std::atomic<double> now_s_ = 50.0;
  const CostMeter meter_ = CostMeter(tariff(), 8, {}, [this] { return now_s_.load(); });
  PartMeter parts_;
  std::atomic<int> warnings_ = 0;
  LedgerWriter::Warn warn_ = [this](const std::string&) { ++warnings_; };
};

TEST_F(LedgerWriterTest, RecordsStartAndEnd) {
  LedgerWriter written = writer(3);
  LedgerRecord record = last();
  EXPECT_EQ(record.attempt, 3);
  EXPECT_EQ(record.gpus, 8);
  EXPECT_DOUBLE_EQ(record.price_per_gpu_hour, 1.5);
  EXPECT_EQ(record.currency, "USD");
  EXPECT_EQ(record.launch, "launch");
  EXPECT_EQ(record.price_source, "list");
  EXPECT_DOUBLE_EQ(record.running_s, 0.0);
  EXPECT_FALSE(record.closed);
  now_s_ = 350.0;
  parts_.enter(RunPart::kEvaluation, 100.0);
  written.set_step(9);
  written.close("finished");
  written.close("again");
  record = last();
  EXPECT_DOUBLE_EQ(record.running_s, 300.0);
  EXPECT_DOUBLE_EQ(record.parts[RunPart::kStartUp], 100.0);
  EXPECT_DOUBLE_EQ(record.parts[RunPart::kEvaluation], 200.0);
  EXPECT_EQ(record.step, 9);
  EXPECT_TRUE(record.closed);
  EXPECT_EQ(record.reason, "finished");
  EXPECT_EQ(read_ledger(file_).size(), 1u);
  EXPECT_EQ(warnings_, 0);
}

TEST_F(LedgerWriterTest, BeatsWithoutBeingAsked) {
  const LedgerWriter written = writer(1, 5ms);
  now_s_ = 150.0;
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (last().running_s != 100.0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(2ms);
  EXPECT_DOUBLE_EQ(last().running_s, 100.0);
  EXPECT_FALSE(last().closed);
}

TEST_F(LedgerWriterTest, LeavesTheAttemptOpenUnlessItIsClosed) {
  { const LedgerWriter written = writer(1); }
  EXPECT_FALSE(last().closed);
}

TEST_F(LedgerWriterTest, GoesOnAfterATornLine) {
  writer(1).close("finished");
  const std::string whole = read_text(file_);
  write_text(file_, whole + whole.substr(0, 30));
  writer(2).close("finished");
  EXPECT_EQ(read_ledger(file_).size(), 2u);
}

TEST_F(LedgerWriterTest, KeepsAReasonThatIsNoUtf8) {
  writer(1).close("bad \xff byte");
  EXPECT_TRUE(last().closed);
  EXPECT_EQ(last().reason, "bad \xef\xbf\xbd byte");  // U+FFFD
}

TEST_F(LedgerWriterTest, RefusesAFileThatCannotBeWritten) {
  EXPECT_THROW(LedgerWriter(folder_.path(), first_record(1, tariff(), 8, 0.0, ""), meter_, parts_, warn_),
               DataError);
}

// The launcher lived for 60 s; its first attempt took 20 s, the second was last heard of 30 s later.
TEST_F(LedgerWriterTest, TheLauncherBillsUpToItsEnd) {
  std::string text;
  for (const double running_s : {20.0, 30.0}) {
    LedgerRecord record = first_record(running_s == 20.0 ? 1 : 2, tariff(), 8, 0.0, "launch");
    record.running_s = running_s;
    record.parts[RunPart::kCompute] = running_s;
    record.closed = running_s == 30.0;
    text += to_line(record) + "\n";
  }
  write_text(file_, text);
  extend_last_attempt(file_, "another", 60.0);
  EXPECT_EQ(read_text(file_), text);
  extend_last_attempt(file_, "launch", 60.0);
  const auto records = read_ledger(file_);
  EXPECT_DOUBLE_EQ(records[0].running_s, 20.0);
  EXPECT_DOUBLE_EQ(records[1].running_s, 40.0);
  EXPECT_DOUBLE_EQ(records[1].parts[RunPart::kIdle], 10.0);
  EXPECT_DOUBLE_EQ(records[1].parts.total_s(), 40.0);
  EXPECT_DOUBLE_EQ(records[1].leaving_s, 10.0);
  EXPECT_DOUBLE_EQ(longest_leaving_s(records), 10.0);
  extend_last_attempt(folder_.path() / "none", "launch", 60.0);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "none"));
}

TEST(LaunchMoment, ComesThroughTheEnvironment) {
  LaunchMoment moment = launch_moment(0);  // when the machine was booted, by the monotonic clock
  EXPECT_GT(seconds_since(moment), 1.0);
  setenv("LOCKSTEP_LAUNCH", moment.to_text().c_str(), 1);
  const auto told = told_launch_moment();
  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->to_text(), moment.to_text());
  EXPECT_EQ(told->boot, boot_identity());
  for (const char* bad : {"", "a", "a:b", "a:1:", "a::2", "a:1:x", "a:1:nan"}) {
    setenv("LOCKSTEP_LAUNCH", bad, 1);
    EXPECT_FALSE(told_launch_moment().has_value()) << bad;
  }
  unsetenv("LOCKSTEP_LAUNCH");
  EXPECT_FALSE(told_launch_moment().has_value());
}

// Its monotonic clock means nothing here, and its wall clock may be ahead of ours.
TEST(LaunchMoment, OfAnotherMachineIsReadByTheWallClock) {
  EXPECT_NEAR(seconds_since({"elsewhere", 0, unix_seconds() - 100.0}), 100.0, 5.0);
  EXPECT_DOUBLE_EQ(seconds_since({"elsewhere", 0, unix_seconds() + 3600.0}), 0.0);
}

}  // namespace
}  // namespace lockstep
