#include "trainer/estimate/price_offers.h"

#include <algorithm>
#include <stdexcept>

#include "trainer/estimate/gpu_specs.h"

namespace lockstep {
namespace {

bool same_text(const std::string& a, const std::string& b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

Offer offer_of(const PriceRow& row, double price) {
  Offer offer;
  offer.gpu = row.gpu_type;
  offer.memory_gib = row.gpu_memory_gib;
  if (offer.memory_gib <= 0.0) {
    if (const auto spec = find_gpu_spec(row.gpu_type)) offer.memory_gib = spec->memory_gib;
  }
  offer.price = Price{price, row.currency};
  for (const std::string* const part : {&row.instance_type, &row.region, &row.source})
    if (!part->empty()) offer.where += (offer.where.empty() ? "" : ", ") + *part;
  if (!row.date.empty()) offer.where += " (" + row.date + ")";
  return offer;
}

}  // namespace

std::vector<Offer> price_offers(const std::vector<PriceRow>& rows, const OfferQuestion& question) {
  std::vector<Offer> offers;
  for (const PriceRow& row : rows) {
    const auto& price = question.spot ? row.spot : row.on_demand;
    if (!price) continue;
    if (!question.gpu_type.empty() && !same_text(row.gpu_type, question.gpu_type)) continue;
    if (!question.region.empty() && !same_text(row.region, question.region)) continue;
    Offer offer = offer_of(row, *price);
    if (question.own.is_known()) {
      offer.price = question.own;
      offer.where = "--price-per-gpu-hour";
    }
    const auto same = std::ranges::find_if(offers, [&](const Offer& other) {
      return other.gpu == offer.gpu && other.memory_gib == offer.memory_gib &&
             other.price->currency == offer.price->currency;
    });
    if (same == offers.end()) {
      offers.push_back(std::move(offer));
    } else if (offer.price->per_gpu_hour < same->price->per_gpu_hour) {
      *same = std::move(offer);
    }
  }
  if (offers.empty())
    throw std::invalid_argument(
        std::string("the price table has no ") + (question.spot ? "spot " : "") + "price" +
        (question.gpu_type.empty() ? "" : " of " + question.gpu_type) +
        (question.region.empty() ? "" : " in " + question.region) +
        "; leave out --gpu-type, --region or --spot, or choose another --price-table");
  return offers;
}

}  // namespace lockstep
