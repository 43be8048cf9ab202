#include "comm/tcp_runner.h"

#include <utility>

#include "comm/hierarchical_runner.h"
#include "comm/machine_layout.h"
#include "comm/socket_transport.h"

namespace lockstep {

std::unique_ptr<CollectiveRunner> make_tcp_runner(const CommunicatorPtr& host, const TcpOptions& options) {
  const MachineLayout layout = find_layout(*host, options.machine);
  std::string problem = layout.problem;
  if (layout.is_hierarchical()) {
    HierarchicalRunner hierarchical = make_hierarchical_runner(host, layout, options);
    if (hierarchical.runner) return std::move(hierarchical.runner);
    problem = "no shared memory: " + hierarchical.problem;
  }
  if (!problem.empty() && host->rank() == 0 && options.warn)
    options.warn("ranks of one machine do not share memory but send everything over sockets (" + problem +
                 ")");
  return make_ring_runner(make_socket_transport(*host, {{}, options.interfaces, options.timeout}), host);
}

}  // namespace lockstep
