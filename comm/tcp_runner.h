// Collectives over sockets of our own, and through shared memory within each machine. Not for use outside
// comm/.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "comm/collective_runner.h"
#include "comm/communicator.h"

namespace lockstep {

struct TcpOptions {
  ReductionOrder order = ReductionOrder::kPytorch;
  std::chrono::milliseconds timeout = std::chrono::minutes(10);
  std::string interfaces;  // comm/socket_transport.h
  std::string machine;     // ranks with the same one share memory
  // Called on rank 0 where ranks that could share memory do not.
  std::function<void(const std::string& line)> warn;
};

// A collective of all ranks of `host`, which is theirs from then on. Where there are several machines with as
// many ranks each, in consecutive blocks, the first rank of each machine sums up its ranks' tensors where
// they lie in shared memory, takes part in a ring of machines and writes the result to all of them: the bits
// are those of a ring of ranks. Else each rank is in the ring. The runner counts what goes over sockets.
std::unique_ptr<CollectiveRunner> make_tcp_runner(const CommunicatorPtr& host, const TcpOptions& options);

}  // namespace lockstep
