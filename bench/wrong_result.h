// The error of a benchmark whose results were not what they had to be.
#pragma once

#include <stdexcept>

namespace lockstep {

// All ranks throw it together, after what was measured has been shown.
class WrongResult : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace lockstep
