// How numbers are printed for people, in the bar, the plain lines, the final table and errors alike.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep {

// "0:07", "12:34", "1:02:03", "100:00:00"; "-" where it is not a finite, non-negative number.
std::string format_duration(double seconds);
// "1,234,567".
std::string format_count(std::int64_t count);
// Four digits after the point, or an exponent where those would say little: "0.4321", "1.2e-05", "nan".
std::string format_loss(double loss);
// "12,345 samples/s", "7.3 samples/s".
std::string format_rate(double samples_per_s);
// "1.23 GiB", "45.6 MiB".
std::string format_bytes(double bytes);

}  // namespace lockstep
