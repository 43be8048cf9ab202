#include "trainer/cost/ledger.h"

#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

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
  TemporaryFolder folder_;
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

TEST_F(LedgerTest, ReadsWhatItWrites) {
  LedgerRecord record;
  record.attempt = 7;
  record.start_unix_s = 1.7e9;
  record.running_s = 12.5;
  record.end_unix_s = 1.7e9 + 13.0;
  record.launch = "1234abcd:99:1.5";
  record.boot = "1234abcd";
  record.boot_s = 77.25;
  record.billing = {60.0, 300.0, false};
  record.storage = {500.0, 0.1};
  record.step = 42;
  record.parts[RunPart::kCompute] = 10.0;
  record.parts[RunPart::kRework] = 2.5;
  record.gpu_type = "A100";
  record.price_source = "list";
  const LedgerRecord again = read(to_line(record) + "\n").at(0);
  EXPECT_EQ(to_line(again), to_line(record));
  EXPECT_EQ(again.billing, record.billing);
  EXPECT_EQ(again.storage, record.storage);
  EXPECT_DOUBLE_EQ(again.parts.total_s(), 12.5);
  EXPECT_EQ(again.step, 42);
}

TEST_F(LedgerTest, TakesTheLinesOfOlderLedgers) {
  const LedgerRecord record = read(line(1, 10)).at(0);
  EXPECT_DOUBLE_EQ(record.end_unix_s, 1700000010.5);
  EXPECT_EQ(record.launch, "");
  EXPECT_EQ(record.billing, Billing{});
  EXPECT_DOUBLE_EQ(record.parts.total_s(), 0.0);
}

}  // namespace
}  // namespace lockstep
