// How many of a size it takes to hold a number: batches for samples, steps for batches.
#pragma once

#include <cstdint>

namespace lockstep {

// `number` not negative, `size` above 0.
constexpr std::int64_t ceil_div(std::int64_t number, std::int64_t size) {
  return (number + size - 1) / size;
}

}  // namespace lockstep
