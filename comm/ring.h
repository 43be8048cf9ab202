// Collectives as pipelined rings over point-to-point messages (Patarasuk and Yuan, "Bandwidth optimal
// all-reduce algorithms for clusters of workstations", 2009): every rank sends to rank-1 and receives from
// rank+1. Small ones are an exchange of everybody with everybody.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "comm/collective.h"
#include "comm/ring_sums.h"
#include "comm/transport.h"

namespace lockstep {

// What one participant brings: a rank its tensor, or a machine the tensors of all its ranks. Several tensors
// are for sums only: those of ranks rank() * K ... rank() * K + K - 1 in a world of K * world_size() ranks.
struct RingBuffers {
  std::vector<void*> tensors;  // signature.count elements each; sums leave them undefined
  void* result = nullptr;      // the first of the tensors, or a buffer of its own
  // Called, where given, for each range of the result of an all-reduce, all-gather or broadcast that has come
  // to hold what it has to, in any order; not for what this participant gave to an all-gather or broadcast.
  std::function<void(ByteRange range)> on_result;
};

// Runs one collective to its end on the calling thread. For all_gather `result` is the longer buffer, of
// which block rank() is this participant's input; for reduce_scatter it is as long as a tensor, the K blocks
// rank() * K ... are the output, and the rest is scratch; for send_receive it is what comes from the right,
// and no tensor. Sums have the bits of signature.order (comm/reduction.h), however the tensors are spread
// over participants. Returns the bytes that this one sent. Throws CommError if another is in another
// collective, a message fails, or `limit` is reached.
std::int64_t run_ring_collective(Transport& transport, const CollectiveSignature& signature,
                                 const RingBuffers& buffers, const WaitLimit& limit);

}  // namespace lockstep
