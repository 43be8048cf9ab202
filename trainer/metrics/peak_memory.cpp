#include "trainer/metrics/peak_memory.h"

#include <cstdlib>
#include <fstream>
#include <string>

namespace lockstep {

std::optional<double> peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    // "VmHWM:    123456 kB", where a kB is 1024 bytes.
    if (line.starts_with("VmHWM:")) return std::strtod(line.c_str() + 6, nullptr) * 1024.0;
  }
  return std::nullopt;
}

}  // namespace lockstep
