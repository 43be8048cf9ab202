#include "trainer/estimate/price_offers.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace lockstep {
namespace {

PriceRow row(const std::string& gpu, std::optional<double> on_demand, std::optional<double> spot,
             const std::string& region = "", const std::string& currency = "USD", double memory_gib = 40) {
  PriceRow made;
  made.gpu_type = gpu;
  made.gpu_memory_gib = memory_gib;
  made.on_demand = on_demand;
  made.spot = spot;
  made.region = region;
  made.currency = currency;
  made.source = "a provider";
  made.date = "2026-01-01";
  return made;
}

const std::vector<PriceRow> kTable = {row("A100", 3.07, 1.1, "us"), row("A100", 2.9, {}, "eu"),
                                      row("A100", 15.2, {}, "cn", "CNY"), row("T4", {}, 0.1),
                                      row("V100", 2.48, {}, "us", "USD", 0)};

TEST(PriceOffers, AreTheCheapestRowOfEachGpuAndCurrency) {
  const auto offers = price_offers(kTable, {});
  ASSERT_EQ(offers.size(), 3u);
  EXPECT_EQ(offers[0].price->per_gpu_hour, 2.9);
  EXPECT_EQ(offers[0].where, "eu, a provider (2026-01-01)");
  EXPECT_EQ(offers[1].price->currency, "CNY");
  EXPECT_EQ(offers[2].memory_gib, 16);  // the data sheet's
}

TEST(PriceOffers, CanBeNarrowed) {
  EXPECT_EQ(price_offers(kTable, {.gpu_type = "a100", .region = "US"}).at(0).price->per_gpu_hour, 3.07);
  const auto spot = price_offers(kTable, {.spot = true});
  ASSERT_EQ(spot.size(), 2u);
  EXPECT_EQ(spot[1].price->per_gpu_hour, 0.1);
  EXPECT_THROW(price_offers(kTable, {.gpu_type = "H100"}), std::invalid_argument);
  EXPECT_THROW(price_offers({}, {}), std::invalid_argument);
}

TEST(PriceOffers, OnesOwnPriceWins) {
  for (const Offer& offer : price_offers(kTable, {.own = {1.5, "EUR"}})) {
    EXPECT_EQ(offer.price->per_gpu_hour, 1.5);
    EXPECT_EQ(offer.price->currency, "EUR");
  }
}

}  // namespace
}  // namespace lockstep
