// The most memory that this process has had.
#pragma once

#include <optional>

namespace lockstep {

// Resident at its worst moment so far, libraries' pages included; none where the system does not say.
std::optional<double> peak_resident_bytes();

}  // namespace lockstep
