#include "trainer/report/ledger_parts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace lockstep {
namespace {

LedgerRecord attempt(int number, double start_unix_s, double compute_s, double rework_s) {
  LedgerRecord record;
  record.attempt = number;
  record.start_unix_s = start_unix_s;
  record.running_s = compute_s + rework_s;
  record.end_unix_s = start_unix_s + record.running_s;
  record.gpus = 2;
  record.price_per_gpu_hour = 1.8;
  record.closed = true;
  record.parts[RunPart::kCompute] = compute_s;
  record.parts[RunPart::kRework] = rework_s;
  return record;
}

std::map<std::string, TimePart> by_name(const LedgerParts& ledger) {
  std::map<std::string, TimePart> parts;
  for (const TimePart& part : ledger.parts) parts[part.name] = part;
  return parts;
}

// A GPU-second is 0.0005; two GPUs take 0.001.
TEST(LedgerParts, TimeAndMoneyAreThoseOfAllAttempts) {
  const LedgerParts ledger = ledger_parts({attempt(1, 1000, 100, 0), attempt(2, 2000, 200, 50)});
  EXPECT_EQ(ledger.currency, "USD");
  const auto parts = by_name(ledger);
  EXPECT_EQ(parts.size(), static_cast<std::size_t>(kRunPartCount));
  EXPECT_DOUBLE_EQ(parts.at("compute").seconds, 300);
  EXPECT_NEAR(parts.at("compute").money, 0.3, 1e-12);
  EXPECT_DOUBLE_EQ(parts.at("rework").seconds, 50);
  EXPECT_NEAR(parts.at("rework").money, 0.05, 1e-12);
  EXPECT_EQ(parts.at("idle").seconds, 0);
}

// By the hour, 100 s cost what 3,600 s do.
TEST(LedgerParts, WhatIsBilledBeyondUseIsAPart) {
  LedgerRecord record = attempt(1, 1000, 100, 0);
  record.billing.granularity_s = 3600;
  const auto parts = by_name(ledger_parts({record}));
  EXPECT_NEAR(parts.at("compute").money + parts.at("billed_not_used").money, 3.6, 1e-12);
  EXPECT_EQ(parts.at("billed_not_used").seconds, 0);
}

TEST(LedgerParts, NoMoneyWithoutAPriceOrInTwoCurrencies) {
  LedgerRecord unpriced = attempt(1, 1000, 100, 0);
  unpriced.price_per_gpu_hour = 0;
  EXPECT_EQ(ledger_parts({unpriced}).currency, "");
  EXPECT_TRUE(std::isnan(ledger_parts({unpriced}).parts.at(0).money));
  LedgerRecord other = attempt(2, 2000, 100, 0);
  other.currency = "EUR";
  const LedgerParts mixed = ledger_parts({attempt(1, 1000, 100, 0), other});
  EXPECT_EQ(mixed.currency, "");
  EXPECT_DOUBLE_EQ(by_name(mixed).at("compute").seconds, 200);
}

TEST(LedgerParts, AnOldLedgerDoesNotSay) {
  LedgerRecord old = attempt(1, 1000, 100, 0);
  old.parts = {};
  EXPECT_TRUE(ledger_parts({old, attempt(2, 2000, 100, 0)}).parts.empty());
  EXPECT_TRUE(ledger_parts({}).parts.empty());
}

}  // namespace
}  // namespace lockstep
