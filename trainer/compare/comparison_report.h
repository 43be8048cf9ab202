// A Comparison for people and for programs.
#pragma once

#include <string>

#include "trainer/compare/comparison.h"

namespace lockstep {

// A line for each thing that was compared, with what differs, and a last one: "equal" or "different".
std::string comparison_text(const Comparison& comparison);

// One JSON object in one line (docs/contracts.md).
std::string comparison_json(const Comparison& comparison);

}  // namespace lockstep
