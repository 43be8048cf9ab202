// Which ranks share a machine. Not for use outside comm/.
#pragma once

#include <string>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// Every machine has ranks_per_machine ranks, those of machine m being m * ranks_per_machine and on, or
// `problem` says what is otherwise.
struct MachineLayout {
  int machines = 1;
  int ranks_per_machine = 1;
  std::string problem;

  bool is_hierarchical() const { return problem.empty() && machines > 1 && ranks_per_machine > 1; }
};

// From each rank's machine.
MachineLayout layout_of(const std::vector<std::string>& machines);

// The same, `machine` being this rank's; a collective. The same on all ranks.
MachineLayout find_layout(Communicator& communicator, const std::string& machine);

}  // namespace lockstep
