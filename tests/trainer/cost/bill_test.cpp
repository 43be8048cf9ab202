#include "trainer/cost/bill.h"

#include <gtest/gtest.h>

#include <cmath>

namespace lockstep {
namespace {

constexpr double kDay0 = 1.7e9;

LedgerRecord record(int attempt, double start_s, double running_s, int gpus = 1, double price = 1.0,
                    const std::string& currency = "USD") {
  LedgerRecord record;
  record.attempt = attempt;
  record.start_unix_s = kDay0 + start_s;
  record.end_unix_s = kDay0 + start_s + running_s;
  record.running_s = running_s;
  record.gpus = gpus;
  record.price_per_gpu_hour = price;
  record.currency = currency;
  record.reason = "paused";
  return record;
}

LedgerRecord now(int attempt, double price, const std::string& currency) {
  return record(attempt, 1e6, 0.0, 1, price, currency);
}

TEST(BilledSeconds, AreWholeGranules) {
  EXPECT_DOUBLE_EQ(billed_seconds({}, 12.345), 12.345);
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 3600.0}, 0.001), 3600.0);
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 3600.0}, 3600.0), 3600.0);
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 3600.0}, 3600.001), 7200.0);
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 60.0}, 61.0), 120.0);
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 1.0}, 0.1 + 0.2 + 0.7), 1.0);  // 1 - 2^-53 or so
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 1e-3}, 1.2345), 1.235);
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 60.0, .minimum_s = 600.0}, 61.0), 600.0);
  EXPECT_DOUBLE_EQ(billed_seconds({.granularity_s = 60.0, .minimum_s = 90.0}, 1.0), 120.0);
  EXPECT_DOUBLE_EQ(granularity_of("per-hour"), 3600.0);
  EXPECT_THROW(granularity_of("per-day"), std::invalid_argument);
}

TEST(Bill, AddsUpPriceTimesHoursTimesGpus) {
  const std::vector records = {record(1, 0, 360000, 8, 1.5), record(2, 400000, 3600, 2, 2.0)};
  const LedgerTotal total = total_of(bill_of(records));
  EXPECT_DOUBLE_EQ(total.gpu_hours, 802.0);
  EXPECT_DOUBLE_EQ(total.amounts.at("USD"), 1204.0);
  EXPECT_DOUBLE_EQ(total.unpriced_gpu_hours, 0.0);
  const EarlierSpend earlier = earlier_spend(records, now(3, 1.5, "USD"));
  EXPECT_DOUBLE_EQ(earlier.start.earlier.amount.value(), 1204.0);
  EXPECT_DOUBLE_EQ(earlier.start.earlier.gpu_hours, 802.0);
  EXPECT_EQ(earlier.remark, "");
}

// Three pauses and a restart: four rentals of 100.2, 61, 0.4 and 3601 s, the third in two attempts.
TEST(Bill, IsTheSumOfTheBilledIntervals) {
  struct Case {
    Billing billing;
    double billed_s;
  };
  for (const Case& the :
       {Case{{}, 100.2 + 61 + 0.4 + 3601}, Case{{.granularity_s = 1e-3}, 3762.6},
        Case{{.granularity_s = 1.0}, 101 + 61 + 1 + 3601},
        Case{{.granularity_s = 60.0}, 120 + 120 + 60 + 3660}, Case{{.granularity_s = 3600.0}, 3600 * 5},
        Case{{.granularity_s = 1.0, .minimum_s = 60.0}, 101 + 61 + 60 + 3601},
        Case{{.granularity_s = 60.0, .minimum_s = 600.0}, 600 * 3 + 3660},
        Case{{.granularity_s = 3600.0, .minimum_s = 7200.0}, 7200 * 4}}) {
    std::vector records = {record(1, 0, 100.2, 2, 3.6), record(2, 1000, 61, 2, 3.6),
                           record(3, 2000, 0.1, 2, 3.6), record(4, 2000.1, 0.3, 2, 3.6),
                           record(5, 3000, 3601, 2, 3.6)};
    for (LedgerRecord& record : records) record.billing = the.billing;
    records[2].launch = records[3].launch = "one launcher";
    const Bill bill = bill_of(records);
    ASSERT_EQ(bill.intervals.size(), 4u);
    EXPECT_EQ(bill.pauses.size(), 3u);
    double billed_s = 0.0;
    for (const BilledInterval& interval : bill.intervals) billed_s += interval.billed_s;
    EXPECT_NEAR(billed_s, the.billed_s, 1e-6);
    EXPECT_NEAR(total_of(bill).amounts.at("USD"), the.billed_s * 2 * 0.001, 1e-9);
    // As the meter of the last attempt had it when that ended.
    std::vector earlier(records.begin(), records.end() - 1);
    const EarlierSpend before = earlier_spend(earlier, records.back());
    Tariff tariff;
    tariff.price = {3.6, "USD"};
    tariff.billing = the.billing;
    const CostMeter meter(tariff, 2, before.start, [] { return 0.0; });
    EXPECT_NEAR(*meter.spend_after(3601).amount, the.billed_s * 2 * 0.001, 1e-9);
  }
}

TEST(Bill, HeldMachinesArePaidForInPauses) {
  std::vector records = {record(1, 0, 1000), record(2, 2000, 1000), record(3, 5000, 600)};
  for (LedgerRecord& record : records) record.billing.pause_stops_billing = false;
  records[1].reason = "finished";  // nothing is held for a run that is done
  const Bill bill = bill_of(records);
  ASSERT_EQ(bill.intervals.size(), 2u);
  EXPECT_DOUBLE_EQ(bill.intervals[0].held_s, 1000.0);
  EXPECT_DOUBLE_EQ(bill.intervals[0].billed_s, 3000.0);
  EXPECT_DOUBLE_EQ(bill.intervals[1].billed_s, 600.0);
}

TEST(Bill, PausesCostStorageOnly) {
  std::vector records = {record(1, 0, 3600), record(2, 3600 + 730.0 * 3600, 3600)};
  for (LedgerRecord& record : records) record.storage = {500.0, 0.10};
  const Bill bill = bill_of(records);
  EXPECT_DOUBLE_EQ(bill.pauses.at(0).storage_amount, 50.0);
  EXPECT_NEAR(total_of(bill).amounts.at("USD"), 2.0 + 50.0 + 2 * 50.0 / 730.0, 1e-9);
}

TEST(Bill, AWallClockThatJumpsIsRemarkedOnAndBillsNothing) {
  // Set forward by a year during the first attempt, back by an hour before the second.
  std::vector records = {record(1, 0, 100), record(2, 1e6, 100)};
  records[0].end_unix_s = records[0].start_unix_s + 365.0 * 86400;
  records[1].start_unix_s = records[0].end_unix_s - 3600.0;
  records[1].end_unix_s = records[1].start_unix_s + 100;
  for (LedgerRecord& record : records) record.storage = {1000.0, 1.0};
  const Bill bill = bill_of(records);
  EXPECT_DOUBLE_EQ(bill.pauses.at(0).seconds, 0.0);
  EXPECT_NEAR(total_of(bill).amounts.at("USD"), 200.0 / 3600 + 200.0 / 3600 / 730 * 1000, 1e-9);
  ASSERT_EQ(bill.remarks.size(), 2u);
  EXPECT_NE(bill.remarks[0].find("during attempt 1 the wall clock jumped by 8759 h 58 min"),
            std::string::npos)
      << bill.remarks[0];
  EXPECT_NE(bill.remarks[1].find("went back by 1 h 0 min"), std::string::npos) << bill.remarks[1];
}

TEST(Bill, APauseWithinOneBootIsMeasuredByTheUptime) {
  std::vector records = {record(1, 0, 100), record(2, 200, 100)};
  for (LedgerRecord& record : records) record.boot = "0badcafe";
  records[0].boot_s = 5000.0;
  records[1].boot_s = 5400.0;
  records[1].start_unix_s += 86400.0;  // the wall clock was set in the meantime
  records[1].end_unix_s += 86400.0;
  const Bill bill = bill_of(records);
  EXPECT_DOUBLE_EQ(bill.pauses.at(0).seconds, 300.0);
  EXPECT_EQ(bill.remarks.size(), 1u);
}

TEST(Bill, KeepsCurrenciesApartAndSaysSo) {
  const std::vector records = {record(1, 0, 3600, 1, 2.0), record(2, 4000, 3600, 1, 15.2, "CNY"),
                               record(3, 8000, 3600, 1, 0.0, "CNY")};
  const EarlierSpend earlier = earlier_spend(records, now(4, 2.0, "USD"));
  EXPECT_DOUBLE_EQ(earlier.start.earlier.amount.value(), 2.0);
  EXPECT_DOUBLE_EQ(earlier.start.earlier.gpu_hours, 3.0);
  EXPECT_EQ(earlier.start.earlier.currency, "USD");
  EXPECT_NE(earlier.remark.find("15.20 CNY and 1.000 GPU-h without a price"), std::string::npos)
      << earlier.remark;
  // Nothing is known in a new currency but what it will bring itself.
  EXPECT_DOUBLE_EQ(earlier_spend(records, now(4, 2.0, "EUR")).start.earlier.amount.value(), 0.0);
}

TEST(Bill, RemarksOnHoursWithoutAPriceOnlyWhereThereAreOthersWithOne) {
  const std::vector records = {record(1, 0, 3600, 1, 0.0)};
  EXPECT_EQ(earlier_spend(records, now(2, 0.0, "USD")).remark, "");
  EXPECT_FALSE(earlier_spend(records, now(2, 0.0, "USD")).start.earlier.amount.has_value());
  EXPECT_NE(earlier_spend(records, now(2, 2.0, "USD")).remark.find("1.000 GPU-h without a price"),
            std::string::npos);
}

}  // namespace
}  // namespace lockstep
