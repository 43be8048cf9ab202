#include "trainer/cost/price_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/temporary_folder.h"

namespace lockstep {
namespace {

using ::testing::HasSubstr;

constexpr const char* kHeader =
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice\n";

class PriceTableTest : public ::testing::Test {
 protected:
  std::vector<PriceRow> csv(const std::string& rows) {
    write_text(csv_, kHeader + rows);
    return read_price_table(csv_);
  }
  std::vector<PriceRow> toml(const std::string& text) {
    write_text(toml_, text);
    return read_price_table(toml_);
  }
  template <class Error, class Action>
  std::string message_of(Action action) {
    try {
      action();
    } catch (const Error& error) {
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    ADD_FAILURE() << "nothing was refused";
    return {};
  }
  TemporaryFolder folder_;
  const std::filesystem::path csv_ = folder_.path() / "catalog.csv";
  const std::filesystem::path toml_ = folder_.path() / "prices.toml";
};

// Rows of the form that SkyPilot's catalogs have; the price is the instance's.
constexpr const char* kRows =
    "p3.2xlarge,V100,1.0,8.0,61.0,3.06,us-east-1,\"{'Gpus': [{'Name': 'V100', 'MemoryInfo': "
    "{'SizeInMiB': 16384}}]}\",0.918\r\n"
    "p4d.24xlarge,A100,8.0,96.0,1152.0,32.7726,us-east-1,,9.83\n"
    "p4d.24xlarge,A100,8.0,96.0,1152.0,35.39,eu-west-1,,\n"
    "m5.large,,,2.0,8.0,0.096,us-east-1,,0.04\n"
    "p4de.24xlarge,A100-80GB,8,96,1152,40.9657,us-east-1,\"a \"\"quoted\"\" word, and a comma\",12.1\n";

TEST_F(PriceTableTest, ReadsSkyPilotsCatalogs) {
  const auto rows = csv(kRows);
  ASSERT_EQ(rows.size(), 4u);  // without the instance that has no accelerator
  EXPECT_EQ(rows[0].gpu_type, "V100");
  EXPECT_DOUBLE_EQ(rows[0].gpu_memory_gib, 16.0);
  EXPECT_DOUBLE_EQ(rows[0].spot.value(), 0.918);
  EXPECT_DOUBLE_EQ(rows[1].on_demand.value(), 32.7726 / 8);
  EXPECT_EQ(rows[1].source, csv_.string() + ":3");
  EXPECT_EQ(rows[1].date.size(), 10u);  // the file's
  EXPECT_FALSE(rows[2].spot.has_value());
}

TEST_F(PriceTableTest, TakesTheCheapestThatFits) {
  const auto rows = csv(kRows);
  EXPECT_DOUBLE_EQ(find_price(rows, {.gpu_type = "a100"}).price.per_gpu_hour, 32.7726 / 8);
  EXPECT_DOUBLE_EQ(find_price(rows, {.gpu_type = "A100", .region = "eu-west-1"}).price.per_gpu_hour,
                   35.39 / 8);
  EXPECT_DOUBLE_EQ(find_price(rows, {.gpu_type = "A100", .spot = true}).price.per_gpu_hour, 9.83 / 8);
}

TEST_F(PriceTableTest, SaysWhatThereIsInstead) {
  const auto rows = csv(kRows);
  const auto refusal = [&](const PriceQuestion& question) {
    return message_of<std::invalid_argument>([&] { find_price(rows, question); });
  };
  EXPECT_EQ(refusal({.gpu_type = "V10"}), "the price table has no GPU V10; did you mean V100?");
  EXPECT_THAT(refusal({.gpu_type = "A100-40GB"}), HasSubstr("A100, A100-80GB"));
  EXPECT_THAT(refusal({.gpu_type = "A100", .region = "mars"}), HasSubstr("but in eu-west-1, us-east-1"));
  EXPECT_THAT(refusal({.gpu_type = "A100", .currency = "EUR"}), HasSubstr("in EUR, but in USD"));
  EXPECT_THAT(refusal({.gpu_type = "A100", .region = "eu-west-1", .spot = true}),
              HasSubstr("no spot price of A100, but one on demand"));
}

TEST_F(PriceTableTest, NamesTheLineOfABrokenRow) {
  for (const auto& [row, reason] : std::vector<std::pair<std::string, std::string>>{
           {"x,A100,1,8,64,3.0,us", "it has 7 fields; the first line names 9"},
           {"x,A100,1,8,64,-3.0,us,,", "Price: a price of -3 USD per GPU-hour; it must be above 0"},
           {"x,A100,1,8,64,0,us,,", "Price: a price of 0 USD"},
           {"x,A100,1,8,64,1e9,us,,", "at most 1,000"},
           {"x,A100,1,8,64,inf,us,,", "a price of inf"},
           {"x,A100,1,8,64,3.0,us,,-1", "SpotPrice: a price of -1"},
           {"x,A100,1,8,64,,us,,", "neither a Price nor a SpotPrice"},
           {"x,A100,1,8,64,cheap,us,,", "Price is 'cheap', which is no number"},
           {"x,A100,0,8,64,3.0,us,,", "AcceleratorCount must be"},
           {"x,A100,,8,64,3.0,us,,", "AcceleratorCount must be"},
           {"x,A100,1,8,64,3.0,us,\"open,", "a quote in it is not closed"}}) {
    const std::string message =
        message_of<DataError>([&, &row = row] { csv(std::string(kRows) + row + "\n"); });
    EXPECT_THAT(message, HasSubstr(csv_.string() + ": line 7 cannot be used: "));
    EXPECT_THAT(message, HasSubstr(reason));
  }
  write_text(csv_, "Name,Price\nA100,1\n");
  EXPECT_THAT(message_of<DataError>([&] { read_price_table(csv_); }), HasSubstr("no column AcceleratorName"));
  EXPECT_THROW(csv(""), DataError);
  EXPECT_THROW(read_price_table(folder_.path() / "none"), DataError);
  EXPECT_THROW(read_price_table(folder_.path()), DataError);
}

TEST_F(PriceTableTest, ReadsOurOwn) {
  const auto rows = toml(
      "source = \"a list\"\n[[gpu]]\nname = \"H100\"\nmemory_gib = 80\nprice_per_gpu_hour = 4\n"
      "date = 2026-01-31\n[[gpu]]\nname = \"H100\"\ncurrency = \"CNY\"\n"
      "spot_price_per_gpu_hour = 20.5\nsource = \"another\"\n");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_DOUBLE_EQ(rows[0].on_demand.value(), 4.0);
  EXPECT_DOUBLE_EQ(rows[0].gpu_memory_gib, 80.0);
  EXPECT_EQ(rows[0].source, "a list (" + toml_.string() + ":2)");
  EXPECT_EQ(rows[0].date, "2026-01-31");
  EXPECT_DOUBLE_EQ(rows[1].spot.value(), 20.5);
  EXPECT_EQ(rows[1].currency, "CNY");
  EXPECT_DOUBLE_EQ(find_price(rows, {.gpu_type = "H100", .spot = true, .currency = "CNY"}).price.per_gpu_hour,
                   20.5);
}

TEST_F(PriceTableTest, NamesTheLineOfABrokenTable) {
  for (const auto& [table, reason] : std::vector<std::pair<std::string, std::string>>{
           {"name = \"X\"", "neither price_per_gpu_hour nor spot"},
           {"price_per_gpu_hour = 1.0", "it has no name"},
           {"name = \"X\"\nprice_per_gpu_hour = -1", "a price of -1 USD"},
           {"name = \"X\"\nprice_per_gpu_hour = 0.0", "a price of 0 USD"},
           {"name = \"X\"\nprice_per_gpu_hour = nan", "a price of nan"},
           {"name = \"X\"\nprice_per_gpu_hour = \"1\"", "price_per_gpu_hour must be a number"},
           {"name = 7\nprice_per_gpu_hour = 1", "name must be a text"},
           {"name = \"X\"\nprice = 1", "unknown key price"},
           {"name = \"X\"\nprice_per_gpu_hour = 1\ncurrency = \"U D\"", "the currency is"}}) {
    const std::string message = message_of<DataError>(
        [&, &table = table] { toml("[[gpu]]\nname = \"Y\"\nprice_per_gpu_hour = 1\n[[gpu]]\n" + table); });
    EXPECT_THAT(message, HasSubstr(": line 4 cannot be used: "));
    EXPECT_THAT(message, HasSubstr(reason));
  }
  EXPECT_THAT(message_of<DataError>([&] { toml("[[gpu]\n"); }), HasSubstr("line 1 cannot be used"));
  EXPECT_THAT(message_of<DataError>([&] { toml("gpus = 3\n"); }), HasSubstr("unknown key gpus"));
}

// What is installed has a source and a date in every row, and the worked examples come out of it.
TEST(InstalledPriceTable, GivesTheWorkedExamples) {
  const auto rows = read_price_table(installed_price_table(std::filesystem::read_symlink("/proc/self/exe")));
  for (const PriceRow& row : rows) {
    EXPECT_FALSE(row.source.empty()) << row.gpu_type;
    EXPECT_EQ(row.date.size(), 10u) << row.gpu_type;
  }
  const auto a_day = [&](const std::string& gpu_type) {
    return format_spend(spend_of(find_price(rows, {.gpu_type = gpu_type}).price, 1, 24 * 3600.0));
  };
  EXPECT_EQ(a_day("T4"), "$8.40");
  EXPECT_EQ(a_day("V100"), "$59.52");
  EXPECT_EQ(a_day("A100"), "$73.68");
  EXPECT_EQ(a_day("TPU-v3"), "$192.00");
  EXPECT_DOUBLE_EQ(find_price(rows, {.gpu_type = "V100", .currency = "CNY"}).price.per_gpu_hour, 8.5);
  EXPECT_DOUBLE_EQ(find_price(rows, {.gpu_type = "A100", .currency = "CNY"}).price.per_gpu_hour, 15.2);
  EXPECT_DOUBLE_EQ(find_price(rows, {.gpu_type = "T4", .spot = true, .currency = "CNY"}).price.per_gpu_hour,
                   3.8);
  EXPECT_EQ(format_spend(spend_of(find_price(rows, {.gpu_type = "A100-pay-as-you-go"}).price, 8, 360000.0)),
            "$1,200.00");
}

}  // namespace
}  // namespace lockstep
