#include "comm/collective.h"

#include "comm/reduction.h"

namespace lockstep {
namespace {

const char* to_string(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kAllReduce:
      return "all_reduce";
    case CollectiveKind::kReduceScatter:
      return "reduce_scatter";
    case CollectiveKind::kAllGather:
      return "all_gather";
    case CollectiveKind::kBroadcast:
      return "broadcast";
    case CollectiveKind::kSendReceive:
      return "send_receive";
    case CollectiveKind::kBarrier:
      return "barrier";
    case CollectiveKind::kExchange:
      return "exchange";
  }
  return "unknown collective";
}

}  // namespace

CommError mismatch(int rank, const CollectiveSignature& mine, int peer, const CollectiveSignature& theirs) {
  return CommError("collectives do not match: rank " + std::to_string(rank) + " is in " + mine.describe() +
                       ", rank " + std::to_string(peer) + " in " + theirs.describe(),
                   peer, mine.describe());
}

std::string CollectiveSignature::describe() const {
  if (kind == CollectiveKind::kBarrier) return "barrier #" + std::to_string(sequence);
  if (kind == CollectiveKind::kExchange)
    return "exchange #" + std::to_string(sequence) + " (" + std::to_string(count) + ")";
  if (rows > 1)
    return describe_collective("all_reduce of " + std::to_string(rows) + " rows", sequence, dtype, count);
  return describe_collective(to_string(kind), sequence, dtype, count);
}

}  // namespace lockstep
