// Collectives as pipelined rings over point-to-point messages (Patarasuk and Yuan, "Bandwidth optimal
// all-reduce algorithms for clusters of workstations", 2009): every rank sends to rank-1 and receives from
// rank+1.
#pragma once

#include <cstdint>

#include "comm/collective.h"
#include "comm/transport.h"

namespace lockstep {

// Runs one collective to its end on the calling thread. `data` holds signature.count elements; for
// reduce_scatter and all_gather it is the longer buffer, of which block rank() is this rank's output or
// input, and the rest is scratch. Sums have Gloo's bits (comm/reduction.h). Returns the bytes that this
// rank sent. Throws CommError if the neighbour is in another collective, a message fails, or `limit` is
// reached.
std::int64_t run_ring_collective(Transport& transport, const CollectiveSignature& signature, void* data,
                                 const WaitLimit& limit);

}  // namespace lockstep
