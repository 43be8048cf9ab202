// What a collective is, apart from its data: the same for every way of running it.
#pragma once

#include <ATen/core/Tensor.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "comm/communicator.h"
#include "comm/errors.h"

namespace lockstep {

enum class CollectiveKind : std::uint32_t {
  kAllReduce,
  kReduceScatter,
  kAllGather,
  kBroadcast,
  kSendReceive,
  kBarrier,
  kExchange
};

// One collective as all ranks must see it: compared before any data moves.
struct CollectiveSignature {
  std::uint64_t sequence = 0;  // how many collectives came before
  CollectiveKind kind = CollectiveKind::kBarrier;
  ReduceOp op = ReduceOp::kSum;
  at::ScalarType dtype = at::kByte;
  int root = 0;            // broadcast
  std::int64_t count = 0;  // elements of the longer tensor; an exchange's tag
  ReductionOrder order = ReductionOrder::kPytorch;
  std::int64_t rows = 1;  // tensors that each rank gives to a sum

  std::string describe() const;
  bool operator==(const CollectiveSignature&) const = default;
};

// "collectives do not match: rank 0 is in all_reduce #3 (Float[5]), rank 1 in barrier #3".
CommError mismatch(int rank, const CollectiveSignature& mine, int peer, const CollectiveSignature& theirs);

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

}  // namespace lockstep
