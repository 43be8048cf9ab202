// The published examples, through the command line, to the cent.
#include "trainer/bill/planned_costs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

namespace lockstep {
namespace {

using ::testing::HasSubstr;

CostReport plan(const std::string& command_line) {
  std::istringstream words(command_line);
  return planned_costs(parse_cost_command({std::istream_iterator<std::string>(words), {}}));
}

// Of the first section that has the key, as people read it: "$1,200.00".
std::string amount(const std::string& command_line, const std::string& key) {
  for (const CostSection& section : plan(command_line)) {
    for (const CostItem& item : section.items) {
      if (item.key == key && item.unit == CostItem::Unit::kMoney) return format_money(item.value, item.text);
    }
  }
  return "none";
}

double number(const std::string& command_line, const std::string& key) {
  for (const CostSection& section : plan(command_line)) {
    for (const CostItem& item : section.items) {
      if (item.key == key) return item.value;
    }
  }
  return std::nan("");
}

TEST(PlannedCosts, PriceTimesHoursTimesGpus) {
  EXPECT_EQ(amount("--hours 100 --gpus 8 --price 1.5", "total"), "$1,200.00");
  EXPECT_EQ(amount("--hours 24 --gpu-type T4", "total"), "$8.40");
  EXPECT_EQ(amount("--hours 24 --gpu-type V100", "total"), "$59.52");
  EXPECT_EQ(amount("--hours 24 --gpu-type A100", "total"), "$73.68");
  EXPECT_EQ(amount("--hours 24 --gpu-type TPU-v3", "total"), "$192.00");
  EXPECT_EQ(amount("--hours 10 --gpu-type v100 --currency CNY", "total"), "85.00 CNY");
  EXPECT_EQ(amount("--hours 10 --gpu-type T4 --currency CNY --spot", "total"), "38.00 CNY");
  EXPECT_EQ(amount("--hours 24 --gpu-type A100 --price 1", "total"), "$24.00");  // the user's own wins
}

TEST(PlannedCosts, Storage) {
  EXPECT_EQ(amount("--storage-gb 500 --storage-price-per-gb-month 0.10 --months 1", "storage"), "$50.00");
  EXPECT_EQ(amount("--hours 730 --price 1 --storage-gb 500 --storage-price-per-gb-month 0.10",
                   "total_with_storage"),
            "$780.00");
}

TEST(PlannedCosts, AnInterruptionWithoutACheckpoint) {
  EXPECT_EQ(amount("--run-cost 1000 --completed 0.3", "lost_without_checkpoint"), "$300.00");
}

TEST(PlannedCosts, PayingOnlyWhileRunning) {
  EXPECT_EQ(amount("--run-cost 1500 --active 0.4", "paused"), "$600.00");
  EXPECT_EQ(amount("--run-cost 1500 --active 0.4", "saved"), "$900.00");
  const std::string paused = "--hours 100 --price 2 --paused-hours 20";
  EXPECT_EQ(amount(paused, "held"), "$200.00");
  EXPECT_EQ(amount(paused, "paused"), "$160.00");
  EXPECT_EQ(amount(paused, "saved"), "$40.00");
  EXPECT_THAT(to_plain_text(plan(paused)), HasSubstr("20 %"));
  EXPECT_EQ(amount("--hours 2000 --price 3 --active 0.9", "saved"), "$600.00");
  EXPECT_EQ(amount("--hours 8760 --price 2 --active 0.6", "saved"), "$7,008.00");
}

TEST(PlannedCosts, BillingRoundsUp) {
  EXPECT_EQ(amount("--hours 1.01 --price 2 --gpus 4 --billing per-hour", "total"), "$16.00");
  EXPECT_EQ(amount("--hours 0.5 --price 2 --billing per-minute --billing-minimum 3600", "total"), "$2.00");
}

// p_spot / goodput_spot against p_on_demand / goodput_on_demand.
TEST(PlannedCosts, SpotWinsWhereAUsefulHourIsCheaper) {
  const auto cheaper = [](const std::string& more) {
    for (const CostSection& section : plan("--hours 100 --price 3 --goodput 0.9 " + more)) {
      for (const CostItem& item : section.items) {
        if (item.key == "cheaper") return item.text;
      }
    }
    return std::string();
  };
  EXPECT_EQ(cheaper("--spot-price 1 --spot-goodput 0.31"), "spot");       // 3.23 < 3.33
  EXPECT_EQ(cheaper("--spot-price 1 --spot-goodput 0.29"), "on demand");  // 3.45
  EXPECT_EQ(amount("--hours 100 --price 3", "spot"), "$90.00");           // 70 % below
  EXPECT_EQ(amount("--hours 100 --price 3", "reserved"), "$180.00");      // 40 % below
  EXPECT_EQ(amount("--hours 100 --price 3 --off-peak-discount 0.25", "off_peak"), "$225.00");
}

TEST(PlannedCosts, OtherRowsOfTheTable) {
  EXPECT_EQ(amount("--hours 24 --gpu-type A100", "row_T4"), "$8.40");
  EXPECT_EQ(amount("--hours 24 --gpu-type A100", "row_V100"), "$59.52");
}

TEST(PlannedCosts, TheCheckpointInterval) {
  // C = 50 s, M = 400 h / 4 nodes = 360,000 s: sqrt(2 x 50 x 360,000) = 6,000 s.
  const std::string command = "--save-time 50 --mean-time-between-failures 400 --nodes 4";
  EXPECT_DOUBLE_EQ(number(command, "young_s"), 6000.0);
  EXPECT_DOUBLE_EQ(number(command, "daly_s"), 5950.0);
  EXPECT_DOUBLE_EQ(number(command, "best_overhead"), 50.0 / 6000 + 6000.0 / 720000);
}

TEST(PlannedCosts, TellsWhatIsNotInTheTable) {
  EXPECT_THROW(plan("--hours 1 --gpu-type A10O"), std::invalid_argument);
  EXPECT_THROW(plan("--hours 1 --gpu-type T4 --spot"), std::invalid_argument);
}

TEST(CostReport, IsJsonToo) {
  const auto json = nlohmann::json::parse(to_json_text(plan("--hours 100 --gpus 8 --price 1.5")));
  EXPECT_EQ(json.at(0).at("section"), "plan");
  EXPECT_EQ(json.at(0).at("total").at("amount"), 1200.0);
  EXPECT_EQ(json.at(0).at("total").at("currency"), "USD");
}

}  // namespace
}  // namespace lockstep
