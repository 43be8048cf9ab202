// The most memory that this process has had, on the host and on its GPU.
#pragma once

#include <optional>

namespace lockstep {

// Resident at its worst moment so far, libraries' pages included; none where the system does not say.
std::optional<double> peak_resident_bytes();

// A GPU's, of one rank, until some moment.
struct PeakDeviceMemory {
  double allocated_bytes = 0.0;  // in tensors
  double reserved_bytes = 0.0;   // taken from the device for them
};

}  // namespace lockstep
