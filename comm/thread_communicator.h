// N ranks as N threads of one process, for tests and for trying things out.
#pragma once

#include <chrono>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// One communicator for each of `world_size` ranks; rank r's is to be used by one thread. They share nothing
// with other calls. abort() on one fails all of them. LibTorch's CPU generator is one per process, so ranks
// that draw random numbers do not behave as separate processes would.
std::vector<CommunicatorPtr> make_thread_communicators(int world_size, std::chrono::milliseconds timeout,
                                                       ReductionOrder order = ReductionOrder::kPytorch);

}  // namespace lockstep
