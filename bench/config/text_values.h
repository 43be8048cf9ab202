// Option values that are written as text and mean more: sizes in bytes, and lists.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config/option_value.h"

namespace lockstep {

// "64M" is 64 * 2^20, as in nccl-tests; K and G likewise. Throws std::invalid_argument.
std::int64_t parse_byte_size(const std::string& text);
Rule byte_size();

// The words between the commas; none for an empty text.
std::vector<std::string> split_list(const std::string& text);
// Words from `known`, each at most once, possibly none.
Rule list_of(std::vector<std::string> known);

// "1,28,28". Throws std::invalid_argument.
std::vector<std::int64_t> parse_sizes(const std::string& text);
Rule list_of_sizes();

}  // namespace lockstep
