// Keeps freed memory with the process, so that a training step meets no page faults.
#pragma once

namespace lockstep {

// A gradient of some MiB is taken from the system anew in every step by default, and each of its pages costs
// a fault. What glibc is told here makes it keep everything. `lockstep train --warm-heap off`, or the
// variable, says not to. Returns whether it was done.
bool keep_heap_warm();

}  // namespace lockstep
