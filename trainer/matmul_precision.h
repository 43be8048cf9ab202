// How exact float32 matrix products are (--matmul-precision).
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace lockstep {

// What torch.set_float32_matmul_precision(name) does, for the whole process; "highest", "high" or "medium".
// Returns one line that says what that means on `device`; empty for "highest", which is float32.
std::string set_matmul_precision(const std::string& name, c10::Device device);

}  // namespace lockstep
