// The known name that a mistyped one probably meant, for "did you mean ..." in error messages. Links nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Levenshtein's distance: the fewest insertions, deletions and replacements of a byte that turn `a` into `b`.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// The entry of `known` nearest to `wanted`, the earlier one of two that are equally near; empty if `known`
// is.
inline std::string nearest_name(std::string_view wanted, const std::vector<std::string>& known) {
  constexpr std::size_t kLongestCompared = 256;  // what was typed is not ours, and the distance is quadratic
  wanted = wanted.substr(0, kLongestCompared);
  const auto nearest = std::min_element(known.begin(), known.end(), [&](const auto& a, const auto& b) {
    return edit_distance(wanted, a) < edit_distance(wanted, b);
  });
  return nearest == known.end() ? std::string() : *nearest;
}

}  // namespace lockstep
