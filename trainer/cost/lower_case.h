// Words that people write in any case.
#pragma once

#include <algorithm>
#include <cctype>
#include <string>

namespace lockstep {

// ASCII's capital letters as small ones.
inline std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace lockstep
