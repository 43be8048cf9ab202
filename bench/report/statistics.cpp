#include "bench/report/statistics.h"

#include <algorithm>
#include <stdexcept>

namespace lockstep {

Spread spread_of(std::vector<double> values) {
  if (values.empty()) throw std::invalid_argument("no measurement to take the median of");
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {values.front(), median, values.back()};
}

Spread ratio_spread(const std::vector<double>& numerators, const std::vector<double>& denominators) {
  if (numerators.size() != denominators.size()) {
    throw std::invalid_argument("ratios need as many measurements of one as of the other");
  }
  std::vector<double> ratios(numerators.size());
  std::transform(numerators.begin(), numerators.end(), denominators.begin(), ratios.begin(),
                 [](double numerator, double denominator) { return numerator / denominator; });
  return spread_of(std::move(ratios));
}

}  // namespace lockstep
