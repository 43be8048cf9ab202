// Collectives of several machines with several ranks each. Not for use outside comm/.
#pragma once

#include <memory>
#include <string>

#include "comm/machine_layout.h"
#include "comm/tcp_runner.h"

namespace lockstep {

struct HierarchicalRunner {
  std::unique_ptr<CollectiveRunner> runner;  // null where there is no shared memory,
  std::string problem;                       // and why, the same on all ranks
};

// A collective of all ranks of `host`, placed as `layout`, a hierarchical one, says.
HierarchicalRunner make_hierarchical_runner(const CommunicatorPtr& host, const MachineLayout& layout,
                                            const TcpOptions& options);

}  // namespace lockstep
