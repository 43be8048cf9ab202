// nearest_name: the "did you mean" of error messages about unknown names. Links nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// The name in `known` with the smallest edit distance (insertions, deletions, substitutions) to `name`, the
// earliest of equals; empty if none is nearer than about half of `name`'s length, or if `name` is too long to
// be a typing error.
inline std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  constexpr std::size_t kLongestName = 256;
  if (name.size() > kLongestName) return {};
  std::string nearest;
  std::size_t best = std::max<std::size_t>(2, name.size() / 2) + 1;
  for (const std::string& candidate : known) {
    // row[j]: the distance between the part of `candidate` seen so far and the first j letters of `name`.
    std::vector<std::size_t> row(name.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (const char letter : candidate) {
      std::size_t diagonal = row[0]++;
      for (std::size_t j = 1; j < row.size(); ++j) {
        const std::size_t substituted = diagonal + (name[j - 1] == letter ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({substituted, row[j] + 1, row[j - 1] + 1});
      }
    }
    if (row.back() < best && row.back() < std::max(name.size(), candidate.size())) {
      best = row.back();
      nearest = candidate;
    }
  }
  return nearest;
}

}  // namespace lockstep
