#include "trainer/cost/ledger.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;
using testing::read_text;
using testing::write_text;

std::string line(int attempt, double running_s, int gpus = 1, double price = 1.0,
                 const std::string& currency = "USD", bool closed = false) {
  return R"({"attempt":)" + std::to_string(attempt) + R"(,"start_unix_s":1700000000.5,"running_s":)" +
         std::to_string(running_s) + R"(,"gpus":)" + std::to_string(gpus) + R"(,"price_per_gpu_hour":)" +
         std::to_string(price) + R"(,"currency":")" + currency + R"(","closed":)" +
         (closed ? "true" : "false") + R"(,"reason":""})" + "\n";
}

class LedgerTest : public ::testing::Test {
 protected:
  std::vector<LedgerRecord> read(const std::string& text) {
    write_text(file_, text);
    return read_ledger(file_);
  }
  testing::TemporaryFolder folder_;
  const std::filesystem::path file_ = folder_.path() / "ledger.jsonl";
};

TEST_F(LedgerTest, IsEmptyWhereThereIsNone) {
  EXPECT_TRUE(read_ledger(file_).empty());
  EXPECT_EQ(last_attempt({}), 0);
  EXPECT_TRUE(read("").empty());
}

TEST_F(LedgerTest, TakesTheLastRecordOfEachAttempt) {
  const auto records =
      read(line(1, 10) + line(1, 20) + line(1, 25, 1, 1.0, "USD", true) + line(2, 0) + line(2, 10, 4));
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].attempt, 1);
  EXPECT_DOUBLE_EQ(records[0].running_s, 25.0);
  EXPECT_DOUBLE_EQ(records[0].start_unix_s, 1700000000.5);
  EXPECT_TRUE(records[0].closed);
  EXPECT_EQ(records[1].attempt, 2);
  EXPECT_DOUBLE_EQ(records[1].running_s, 10.0);
  EXPECT_EQ(records[1].gpus, 4);
  EXPECT_FALSE(records[1].closed);
  EXPECT_EQ(last_attempt(records), 2);
}

TEST_F(LedgerTest, PassesOverATornLastLine) {
  const std::string whole = line(1, 10);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto records = read(whole + line(1, 20).substr(0, length));
    ASSERT_EQ(records.size(), 1u);
    EXPECT_DOUBLE_EQ(records[0].running_s, 10.0) << length;
  }
}

TEST_F(LedgerTest, RefusesLinesThatAreNoRecords) {
  const std::string good = line(1, 10);
  const auto with = [&good](const std::string& from, const std::string& to) {
    std::string changed = good;
    const std::size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos);
    return changed.replace(at, from.size(), to);
  };
  for (const std::string& bad :
       {std::string("\n"), std::string("not JSON\n"), std::string("[1]\n"), std::string("{}\n"),
        with("\"attempt\":1", "\"attempt\":0"), with("\"attempt\":1", "\"attempt\":-3"),
        with("\"attempt\":1", "\"attempt\":1.5"), with("\"attempt\":1", "\"attempt\":99999999999"),
        with("\"running_s\":10", "\"running_s\":-10"), with("\"running_s\":10.0", "\"running_s\":1e999"),
        with("\"gpus\":1", "\"gpus\":0"), with("price_per_gpu_hour\":1", "price_per_gpu_hour\":-1"),
        with("\"USD\"", "\"\""), with("\"USD\"", "7"), with("false", "0"),
        with("\"reason\":\"\"", "\"reason\":\"" + std::string(5000, 'x') + "\"")}) {
    try {
      read(good + bad + good);
      ADD_FAILURE() << "accepted: " << bad;
    } catch (const DataError& error) {
      const std::string message = error.what();
      EXPECT_NE(message.find(file_.string() + ": line 2 "), std::string::npos) << message;
      EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    }
  }
  EXPECT_THROW(read_ledger(folder_.path()), DataError);
}

TEST_F(LedgerTest, AddsUpPriceTimesHoursTimesGpus) {
  const auto records = read(line(1, 360000, 8, 1.5) + line(2, 3600, 2, 2.0));
  const LedgerTotal total = total_of(records);
  EXPECT_DOUBLE_EQ(total.gpu_hours, 802.0);
  EXPECT_DOUBLE_EQ(total.amounts.at("USD"), 1204.0);
  EXPECT_DOUBLE_EQ(total.unpriced_gpu_hours, 0.0);
  const EarlierSpend earlier = earlier_spend(records, {1.5, "USD"});
  EXPECT_DOUBLE_EQ(earlier.spend.amount.value(), 1204.0);
  EXPECT_DOUBLE_EQ(earlier.spend.gpu_hours, 802.0);
  EXPECT_EQ(earlier.remark, "");
}

TEST_F(LedgerTest, KeepsCurrenciesApartAndSaysSo) {
  const auto records =
      read(line(1, 3600, 1, 2.0, "USD") + line(2, 3600, 1, 15.2, "CNY") + line(3, 3600, 1, 0.0, "CNY"));
  const EarlierSpend earlier = earlier_spend(records, {2.0, "USD"});
  EXPECT_DOUBLE_EQ(earlier.spend.amount.value(), 2.0);
  EXPECT_DOUBLE_EQ(earlier.spend.gpu_hours, 3.0);
  EXPECT_EQ(earlier.spend.currency, "USD");
  EXPECT_NE(earlier.remark.find("15.20 CNY and 1.000 GPU-h without a price"), std::string::npos)
      << earlier.remark;
  // Only in a currency that is no longer used: nothing is known in the new one.
  const EarlierSpend other = earlier_spend(records, {2.0, "EUR"});
  EXPECT_FALSE(other.spend.amount.has_value());
  EXPECT_NO_THROW(CostMeter({2.0, "EUR"}, 1, other.spend));
}

TEST_F(LedgerTest, RemarksOnHoursWithoutAPriceOnlyWhereThereAreOthersWithOne) {
  const auto records = read(line(1, 3600, 1, 0.0));
  EXPECT_EQ(earlier_spend(records, {0.0, "USD"}).remark, "");
  EXPECT_NE(earlier_spend(records, {2.0, "USD"}).remark.find("1.000 GPU-h without a price"),
            std::string::npos);
}

class LedgerWriterTest : public LedgerTest {
 protected:
  // The heartbeat's thread reads it too.
  std::atomic<double> now_s_ = 50.0;
  const CostMeter meter_ = CostMeter({1.5, "USD"}, 8, {}, [this] { return now_s_.load(); });
  std::atomic<int> warnings_ = 0;
  LedgerWriter::Warn warn_ = [this](const std::string&) { ++warnings_; };

  LedgerRecord last() { return read_ledger(file_).back(); }
};

TEST_F(LedgerWriterTest, RecordsStartAndEnd) {
  LedgerWriter writer(file_, 3, meter_, warn_, 1h);
  LedgerRecord record = last();
  EXPECT_EQ(record.attempt, 3);
  EXPECT_EQ(record.gpus, 8);
  EXPECT_DOUBLE_EQ(record.price_per_gpu_hour, 1.5);
  EXPECT_EQ(record.currency, "USD");
  EXPECT_DOUBLE_EQ(record.running_s, 0.0);
  EXPECT_FALSE(record.closed);
  now_s_ = 350.0;
  writer.close("finished");
  writer.close("again");
  record = last();
  EXPECT_DOUBLE_EQ(record.running_s, 300.0);
  EXPECT_TRUE(record.closed);
  EXPECT_EQ(record.reason, "finished");
  EXPECT_EQ(read_ledger(file_).size(), 1u);
  EXPECT_EQ(warnings_, 0);
}

TEST_F(LedgerWriterTest, BeatsWithoutBeingAsked) {
  const LedgerWriter writer(file_, 1, meter_, warn_, 5ms);
  now_s_ = 150.0;
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (last().running_s != 100.0 && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(2ms);
  EXPECT_DOUBLE_EQ(last().running_s, 100.0);
  EXPECT_FALSE(last().closed);
}

TEST_F(LedgerWriterTest, LeavesTheAttemptOpenUnlessItIsClosed) {
  { const LedgerWriter writer(file_, 1, meter_, warn_, 1h); }
  EXPECT_FALSE(last().closed);
}

TEST_F(LedgerWriterTest, GoesOnAfterATornLine) {
  write_text(file_, line(1, 10) + line(1, 20).substr(0, 30));
  LedgerWriter(file_, 2, meter_, warn_, 1h).close("finished");
  const auto records = read_ledger(file_);
  ASSERT_EQ(records.size(), 2u);
  EXPECT_DOUBLE_EQ(records[0].running_s, 10.0);
}

TEST_F(LedgerWriterTest, KeepsAReasonThatIsNoUtf8) {
  LedgerWriter(file_, 1, meter_, warn_, 1h).close("bad \xff byte");
  EXPECT_TRUE(last().closed);
  EXPECT_EQ(last().reason, "bad \xef\xbf\xbd byte");  // U+FFFD
}

TEST_F(LedgerWriterTest, RefusesAFileThatCannotBeWritten) {
  EXPECT_THROW(LedgerWriter(folder_.path(), 1, meter_, warn_), DataError);
}

}  // namespace
}  // namespace lockstep
