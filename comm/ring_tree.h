// The first half of a sum in order kTree over messages. Not for use outside comm/.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/collective.h"
#include "comm/ring.h"
#include "comm/ring_sums.h"
#include "comm/ring_wait.h"
#include "comm/transport.h"

namespace lockstep {

// The ranks [begin, end) whose sum is a node of the tree over all of them.
struct TreeNode {
  int begin = 0;
  int end = 0;
  bool operator==(const TreeNode&) const = default;
};

// The largest complete subtrees of the tree over `ranks` that lie in [begin, end), from the left: a list of
// ranks is split at the largest power of two below its length. One where K is a power of two and the range
// K * p ... K * (p + 1).
std::vector<TreeNode> tree_nodes(int ranks, int begin, int end);

// Every participant sends the partial sums of its own tensors for superchunk c straight to participant c,
// which adds up the tree over all of them into its result: where each has one node, the bytes of a ring's
// first half. Returns the bytes sent.
std::int64_t reduce_tree_chunks(Transport& transport, const CollectiveSignature& signature,
                                const RingBuffers& buffers, const RingSums& sums, RingWait& wait);

}  // namespace lockstep
