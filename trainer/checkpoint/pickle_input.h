// The bytes of a pickle, taken from front to back within bounds. Not for use outside this folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sampler/data_error.h"

namespace lockstep {

class PickleInput {
 protected:
  explicit PickleInput(std::string_view pickle) : pickle_(pickle) {}

  [[noreturn]] void fail(const std::string& reason) const {
    throw DataError("its pickle is not one that Lockstep reads (at byte " + std::to_string(position_) +
                    "): " + reason);
  }
  std::string_view take(std::size_t size_bytes) {
    if (size_bytes > pickle_.size() - position_) fail("it ends too early");
    position_ += size_bytes;
    return pickle_.substr(position_ - size_bytes, size_bytes);
  }
  std::uint64_t take_unsigned(std::size_t size_bytes) {  // little-endian
    const std::string_view bytes = take(size_bytes);
    std::uint64_t number = 0;
    for (std::size_t i = size_bytes; i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[i]);
    return number;
  }
  std::string take_line() {
    const std::size_t end = pickle_.find('\n', position_);
    if (end == std::string_view::npos) fail("it ends too early");
    std::string line(take(end - position_));
    take(1);
    return line;
  }
  std::int64_t take_long() {  // two's complement in as few bytes as it takes
    const auto size_bytes = take_unsigned(1);
    if (size_bytes > 8) fail("a whole number beyond 64 bits");
    if (size_bytes == 0) return 0;
    const auto shift = 64 - 8 * size_bytes;
    return static_cast<std::int64_t>(take_unsigned(size_bytes) << shift) >> shift;
  }

  std::string_view pickle_;
  std::size_t position_ = 0;
};

}  // namespace lockstep
