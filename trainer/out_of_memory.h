// What a rank says when its GPU has no memory left.
#pragma once

#include <string>

namespace lockstep {

// One line from `libtorch_says`, the text of c10::OutOfMemoryError: what was asked for, what the GPU has, and
// what to lower.
std::string describe_out_of_memory(const std::string& libtorch_says);

}  // namespace lockstep
