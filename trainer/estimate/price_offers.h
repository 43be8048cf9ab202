// The rows of a price table as offers to compare. Links no LibTorch.
#pragma once

#include <string>
#include <vector>

#include "trainer/cost/price_table.h"
#include "trainer/estimate/offers.h"

namespace lockstep {

// What of the table is meant.
struct OfferQuestion {
  std::string gpu_type = {};  // empty: all of them; upper and lower case are the same
  std::string region = {};    // empty: all of them
  bool spot = false;
  Price own = {};  // where it is known, it takes the place of the table's prices
};

// Of each GPU, memory and currency the cheapest row, in the order of the table. A memory that the table does
// not say is that of the data sheet. Throws std::invalid_argument where nothing is left.
std::vector<Offer> price_offers(const std::vector<PriceRow>& rows, const OfferQuestion& question);

}  // namespace lockstep
