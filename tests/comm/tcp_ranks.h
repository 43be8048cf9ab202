// Ranks in threads of one process that talk over sockets of our own, on as many "machines" as a test wants.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "comm/collective_runner.h"
#include "comm/ring_communicator.h"
#include "comm/shared_memory.h"
#include "comm/tcp_runner.h"
#include "tests/comm/rank_threads.h"

namespace lockstep::testing {

struct TcpWorld {
  int machines = 1;
  int ranks_per_machine = 1;
  ReductionOrder order = ReductionOrder::kPytorch;
  std::chrono::milliseconds timeout = std::chrono::seconds(30);
  std::string interfaces = {};
  int world_size() const { return machines * ranks_per_machine; }
};

inline std::string to_string(const TcpWorld& world) {
  return std::to_string(world.machines) + " machines of " + std::to_string(world.ranks_per_machine);
}

// For run_ranks(): a communicator over sockets in place of the threads' own, which is then its host.
inline std::function<CommunicatorPtr(CommunicatorPtr)> over_sockets(
    const TcpWorld& world, const std::function<void(const std::string&)>& warn = {}) {
  return [world, warn](const CommunicatorPtr& host) -> CommunicatorPtr {
    TcpOptions options;
    options.order = world.order;
    options.timeout = world.timeout;
    options.interfaces = world.interfaces;
    options.machine = "machine " + std::to_string(host->rank() / world.ranks_per_machine);
    options.warn = warn;
    return std::make_shared<RingCommunicator>(
        "tcp", RingCommunicator::MakeRunner([=] { return make_tcp_runner(host, options); }), world.timeout,
        world.order);
  };
}

// Runs `body` on each rank; ranks that end well leave in good order.
inline void run_tcp(const TcpWorld& world, const std::function<void(Communicator&)>& body,
                    const std::function<void(const std::string&)>& warn = {}) {
  run_ranks(
      world.world_size(),
      [&](Communicator& comm) {
        body(comm);
        comm.shutdown();
      },
      std::chrono::seconds(60), over_sockets(world, warn));
}

}  // namespace lockstep::testing
