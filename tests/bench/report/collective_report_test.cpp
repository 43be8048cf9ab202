#include "bench/report/collective_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace lockstep {
namespace {

using testing::HasSubstr;

// 4 ranks: a ring sends 2 * 3 / 4 of the bytes.
CollectiveRow row() {
  CollectiveRow row;
  row.contender = "gloo";
  row.bytes = 100'000'000;
  row.count = 25'000'000;
  row.dtype = "float32";
  row.time_s = {0.040, 0.050, 0.070};
  row.wire_bytes = 150'000'000;
  row.wrong = 3;
  row.over_ours = Spread{4.0, 5.0, 6.0};
  return row;
}

TEST(CollectiveReport, BandwidthsAreNcclTests) {
  EXPECT_DOUBLE_EQ(row().algorithm_bandwidth(), 2.0);  // 100 MB in 50 ms
  EXPECT_DOUBLE_EQ(row().bus_bandwidth(), 3.0);        // times 2 (n - 1) / n
}

TEST(CollectiveReport, ARowHoldsEveryColumn) {
  std::istringstream words(format_row(row()));
  const std::vector<std::string> found{std::istream_iterator<std::string>(words), {}};
  EXPECT_EQ(found,
            (std::vector<std::string>{"100000000", "25000000", "float32", "sum", "-1", "in", "gloo", "50000",
                                      "2.00", "3.00", "3", "40000..70000", "5.00", "(4.00..6.00)"}));
}

TEST(CollectiveReport, AStreamHasNoWrongValuesAndOursNoRatio) {
  CollectiveRow stream = row();
  stream.wrong.reset();
  stream.over_ours.reset();
  EXPECT_THAT(format_row(stream), HasSubstr(" N/A "));
  EXPECT_THAT(format_row(stream), testing::Not(HasSubstr("(")));
}

TEST(CollectiveReport, JsonAndCsvHoldTheSame) {
  const std::vector<CollectiveRow> rows = {row()};
  const auto json = nlohmann::json::parse(collective_json({}, "all-gather", 1e-6, rows))["rows"][0];
  EXPECT_EQ(json["contender"], "gloo");
  EXPECT_EQ(json["redop"], "sum");
  EXPECT_EQ(json["size_bytes"], 100'000'000);
  EXPECT_DOUBLE_EQ(json["time_us"]["median"], 50'000);
  EXPECT_DOUBLE_EQ(json["busbw_gb_per_s"], 3.0);
  EXPECT_EQ(json["wrong"], 3);
  EXPECT_DOUBLE_EQ(json["time_over_ours"]["max"], 6.0);
  EXPECT_THAT(collective_csv({}, rows),
              HasSubstr("\ngloo,100000000,25000000,float32,sum,-1,true,40000,50000,70000,2,3,3,4,5,6\n"));
}

TEST(CollectiveReport, TheHarnesssShareIsOfTheQuickest) {
  CollectiveRow quick = row();
  quick.time_s.median = 1e-5;
  EXPECT_DOUBLE_EQ(harness_share(1e-7, {row(), quick}), 0.01);
  EXPECT_EQ(format_harness(1e-7, {row(), quick}),
            "# the harness is 0.100 us of each of these times, 1 % at most\n");
  const auto json = nlohmann::json::parse(collective_json({}, "broadcast", 1e-7, {quick}));
  EXPECT_EQ(json["benchmark"], "broadcast");
  EXPECT_DOUBLE_EQ(json["harness_us"], 0.1);
}

TEST(CollectiveReport, CountsWrongValuesOfAllRows) {
  CollectiveRow stream = row();
  stream.wrong.reset();
  EXPECT_EQ(count_wrong({row(), stream, row()}), 6);
  EXPECT_EQ(count_wrong({}), 0);
}

}  // namespace
}  // namespace lockstep
