// Collectives as pipelined rings over point-to-point messages (Patarasuk and Yuan, "Bandwidth optimal
// all-reduce algorithms for clusters of workstations", 2009): every rank sends to rank-1 and receives from
// rank+1.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "comm/transport.h"

namespace lockstep {

enum class CollectiveKind : std::uint32_t { kAllReduce, kReduceScatter, kAllGather, kBroadcast, kBarrier };

// One collective as all ranks must see it; the ring compares neighbours' before any data moves.
struct CollectiveSignature {
  std::uint64_t sequence = 0;  // how many collectives came before
  CollectiveKind kind = CollectiveKind::kBarrier;
  ReduceOp op = ReduceOp::kSum;
  at::ScalarType dtype = at::kByte;
  int root = 0;            // broadcast
  std::int64_t count = 0;  // elements of the longer tensor

  std::string describe() const;
};

// When a wait has to end: at the deadline, or as soon as somebody aborts.
class WaitLimit {
 public:
  WaitLimit(std::chrono::milliseconds timeout, const std::atomic<bool>& aborted)
      : timeout_(timeout), deadline_(std::chrono::steady_clock::now() + timeout), aborted_(aborted) {}
  bool aborted() const { return aborted_.load(std::memory_order_acquire); }
  bool expired() const { return std::chrono::steady_clock::now() >= deadline_; }
  double timeout_s() const { return std::chrono::duration<double>(timeout_).count(); }

 private:
  std::chrono::milliseconds timeout_;
  std::chrono::steady_clock::time_point deadline_;
  const std::atomic<bool>& aborted_;
};

// Runs one collective to its end on the calling thread. `data` holds signature.count elements; for
// reduce_scatter and all_gather it is the longer buffer, of which block rank() is this rank's output or
// input, and the rest is scratch. Sums have Gloo's bits (comm/reduction.h). Returns the bytes that this
// rank sent. Throws CommError if the neighbour is in another collective, a message fails, or `limit` is
// reached.
std::int64_t run_ring_collective(Transport& transport, const CollectiveSignature& signature, void* data,
                                 const WaitLimit& limit);

}  // namespace lockstep
