#include "comm/machine_layout.h"

#include <algorithm>

#include "comm/agreement.h"

namespace lockstep {

MachineLayout layout_of(const std::vector<std::string>& machines) {
  const std::size_t world_size = machines.size();
  const auto per_machine =
      static_cast<std::size_t>(std::count(machines.begin(), machines.end(), machines.front()));
  MachineLayout layout{static_cast<int>(world_size / per_machine), static_cast<int>(per_machine), ""};
  for (std::size_t rank = 0; rank < world_size && layout.problem.empty(); ++rank) {
    const std::size_t block = rank / per_machine * per_machine;
    const auto count = static_cast<std::size_t>(std::count(machines.begin(), machines.end(), machines[rank]));
    if (count != per_machine) {
      layout.problem = std::to_string(count) + " of the ranks are on rank " + std::to_string(rank) +
                       "'s machine, " + std::to_string(per_machine) + " on rank 0's";
    } else if (machines[rank] != machines[block]) {
      layout.problem = "rank " + std::to_string(rank) + " is not on the machine of rank " +
                       std::to_string(block) + ", so that machines do not hold consecutive ranks";
    }
  }
  return layout;
}

MachineLayout find_layout(Communicator& communicator, const std::string& machine) {
  return layout_of(gather_texts(machine, communicator));
}

}  // namespace lockstep
