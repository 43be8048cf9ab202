// The error for input that cannot be used: data, checkpoints, price files. Links nothing.
#pragma once

#include <stdexcept>
#include <string>

namespace lockstep {

// Bad input from outside (exit code 3). `what()` is one line: which file, what is wrong, and what would be
// right. A wrong option is a std::invalid_argument instead (exit code 2).
class DataError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace lockstep
