// What is said of repeated measurements: minimum, median and maximum, of times and of paired ratios.
#pragma once

#include <vector>

namespace lockstep {

struct Spread {
  double min = 0.0;
  double median = 0.0;
  double max = 0.0;
};

// Of an even number of values the median is the mean of the middle two. Throws std::invalid_argument for
// none.
Spread spread_of(std::vector<double> values);

// The spread of numerators[i] / denominators[i]. Paired, because the machine's slow phases then hit both.
// Throws std::invalid_argument unless both have the same number of values, and at least one.
Spread ratio_spread(const std::vector<double>& numerators, const std::vector<double>& denominators);

}  // namespace lockstep
