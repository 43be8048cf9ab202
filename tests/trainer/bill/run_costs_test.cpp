#include "trainer/bill/run_costs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"
#include "trainer/cost/ledger.h"

namespace lockstep {
namespace {

LedgerRecord record(int attempt, double start_s, double running_s, const std::string& reason) {
  LedgerRecord record;
  record.attempt = attempt;
  record.start_unix_s = 1.7e9 + start_s;
  record.end_unix_s = record.start_unix_s + running_s;
  record.running_s = running_s;
  record.gpus = 2;
  record.price_per_gpu_hour = 1.8;  // a tenth of a cent a second for both
  record.reason = reason;
  record.closed = !reason.empty();
  record.parts[RunPart::kCompute] = running_s * 0.75;
  record.parts[RunPart::kRework] = running_s * 0.25;
  return record;
}

class RunCostsTest : public ::testing::Test {
 protected:
  std::string run(const std::string& name, const std::vector<LedgerRecord>& records) {
    const auto dir = folder_.path() / name;
    std::filesystem::create_directory(dir);
    std::string text;
    for (const LedgerRecord& record : records) text += to_line(record) + "\n";
    write_text(dir / "ledger.jsonl", text);
    return dir.string();
  }
  nlohmann::json costs(const std::vector<std::string>& arguments) {
    return nlohmann::json::parse(to_json_text(run_costs(parse_cost_command(arguments))));
  }
  static nlohmann::json section(const nlohmann::json& report, const std::string& name) {
    for (const auto& section : report) {
      if (section.at("section") == name) return section;
    }
    return {};
  }
  TemporaryFolder folder_;
};

// 1000 s, paused for 500 s, 3000 s more of which a kill cut off the first 1000.
TEST_F(RunCostsTest, SaysWhatARunCostAndWouldHaveCost) {
  const std::string dir =
      run("a", {record(1, 0, 1000, "paused"), record(2, 1500, 1000, ""), record(3, 2500, 2000, "finished")});
  const auto report = costs({dir});
  const auto total = section(report, "run");
  EXPECT_DOUBLE_EQ(total.at("total_USD").at("amount"), 4.0);
  EXPECT_EQ(total.at("attempts"), 3);
  EXPECT_DOUBLE_EQ(total.at("running_s"), 4000.0);
  EXPECT_DOUBLE_EQ(total.at("paused_s"), 500.0);
  const auto parts = section(report, "parts");
  EXPECT_DOUBLE_EQ(parts.at("compute").at("amount"), 3.0);
  EXPECT_DOUBLE_EQ(parts.at("rework").at("amount"), 1.0);
  double sum = parts.at("unused").at("amount").get<double>() + parts.at("storage").at("amount").get<double>();
  for (int i = 0; i < kRunPartCount; ++i)
    sum += parts.at(run_part_name(static_cast<RunPart>(i))).at("amount").get<double>();
  EXPECT_DOUBLE_EQ(sum, 4.0);
  const auto others = section(report, "other_ways");
  EXPECT_DOUBLE_EQ(others.at("held").at("amount"), 4.5);
  EXPECT_NEAR(others.at("spot").at("amount").get<double>(), 1.2, 1e-12);
  EXPECT_NEAR(others.at("reserved").at("amount").get<double>(), 2.4, 1e-12);
  EXPECT_DOUBLE_EQ(others.at("per_hour").at("amount"), 3 * 3.6);  // 3600 s each
  EXPECT_NEAR(others.at("per_minute").at("amount").get<double>(), (1020 + 1020 + 2040) * 1e-3, 1e-12);
  const auto interruptions = section(report, "interruptions");
  EXPECT_EQ(interruptions.at("interruptions"), 1);
  EXPECT_DOUBLE_EQ(interruptions.at("rework").at("amount"), 1.0);
  EXPECT_DOUBLE_EQ(interruptions.at("without_checkpoints").at("amount"), 2.0);
}

TEST_F(RunCostsTest, SaysWhatACheckpointIntervalIsWorth) {
  const std::string dir = run("a", {record(1, 0, 3600, "finished")});
  write_text(std::filesystem::path(dir) / "metrics.jsonl",
             R"({"kind":"event","event":"checkpoint","step":5,"save_time_s":2.0})"
             "\n"
             R"({"kind":"event","event":"checkpoint","step":9,"save_time_s":4.0})"
             "\n");
  const auto interval = section(costs({dir, "--mean-time-between-failures", "6"}), "checkpoint_interval");
  EXPECT_DOUBLE_EQ(interval.at("save_s"), 3.0);
  EXPECT_DOUBLE_EQ(interval.at("young_s"), 360.0);  // sqrt(2 x 3 x 21,600)
  EXPECT_DOUBLE_EQ(interval.at("interval_s"), 1800.0);
  // (3/1800 + 1800/43200) - (3/360 + 360/43200) of $3.60
  EXPECT_NEAR(interval.at("worth").at("amount").get<double>(), 3.6 * (0.0433333333333 - 0.0166666666667),
              1e-9);
}

TEST_F(RunCostsTest, NeverAddsUpCurrencies) {
  auto yuan = record(1, 0, 1000, "finished");
  yuan.currency = "CNY";
  const auto report = costs({run("a", {record(1, 0, 1000, "finished")}), run("b", {yuan})});
  const auto all = section(report, "all");
  EXPECT_DOUBLE_EQ(all.at("total_USD").at("amount"), 1.0);
  EXPECT_DOUBLE_EQ(all.at("total_CNY").at("amount"), 1.0);
  EXPECT_EQ(all.at("total_USD_note"), "currencies are not added up");
}

TEST_F(RunCostsTest, NeedsALedger) {
  EXPECT_THROW(costs({folder_.path().string()}), DataError);
}

TEST_F(RunCostsTest, IsLegible) {
  auto first = record(1, 0, 1000, "finished");
  const CostReport report = run_costs(parse_cost_command({run("a", {first})}));
  EXPECT_THAT(to_plain_text(report), ::testing::ContainsRegex("  compute +12:30  .0.7500\n"));
}

}  // namespace
}  // namespace lockstep
