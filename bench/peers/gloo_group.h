// PyTorch's ProcessGroupGloo as a peer, over a TCP store of its own.
#pragma once

#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "bench/world.h"

namespace lockstep {

// Collective. Rank 0 hosts the store at its address on world.interface(); `name` keeps groups apart. Throws
// CommError if the ranks cannot meet.
c10::intrusive_ptr<c10d::ProcessGroupGloo> make_gloo_group(const BenchWorld& world, const std::string& name);

// The same as the front end that c10d::Reducer talks to.
c10::intrusive_ptr<c10d::ProcessGroup> make_gloo_process_group(const BenchWorld& world,
                                                               const std::string& name);

}  // namespace lockstep
