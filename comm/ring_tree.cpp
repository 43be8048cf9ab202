#include "comm/ring_tree.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "comm/fold.h"

namespace lockstep {
namespace {

constexpr std::int64_t kDirectSegmentBytes = 1 << 20;  // of each participant's superchunk

int split(int begin, int end) {
  return begin + static_cast<int>(std::bit_floor(static_cast<unsigned>(end - begin - 1)));
}

void collect_nodes(TreeNode node, int begin, int end, std::vector<TreeNode>& into) {
  if (node.end <= begin || node.begin >= end) return;
  if (node.begin >= begin && node.end <= end) {
    into.push_back(node);
    return;
  }
  const int middle = split(node.begin, node.end);
  collect_nodes({node.begin, middle}, begin, end, into);
  collect_nodes({middle, node.end}, begin, end, into);
}

class TreeReduction {
 public:
  TreeReduction(Transport& transport, const CollectiveSignature& signature, const RingBuffers& buffers,
                const RingSums& sums, RingWait& wait)
      : transport_(transport),
        signature_(signature),
        buffers_(buffers),
        sums_(sums),
        wait_(wait),
        participants_(transport.world_size()),
        here_(transport.rank()),
        tensors_(static_cast<int>(buffers.tensors.size())),
        element_bytes_(static_cast<std::int64_t>(c10::elementSize(signature.dtype))) {
    for (int p = 0; p < participants_; ++p)
      nodes_.push_back(tree_nodes(participants_ * tensors_, p * tensors_, (p + 1) * tensors_));
  }

  // A segment of every superchunk at a time; the next is under way while one is added.
  std::int64_t run() {
    std::int64_t longest = 0;
    for (int p = 0; p < participants_; ++p) longest = std::max(longest, sums_.superchunk(p).size());
    const std::int64_t rounds = (longest + kDirectSegmentBytes - 1) / kDirectSegmentBytes;
    std::array<Round, 2> under_way;
    if (rounds > 0) post(0, under_way[0]);
    for (std::int64_t j = 0; j < rounds; ++j) {
      if (j + 1 < rounds) post(j + 1, under_way[static_cast<std::size_t>((j + 1) % 2)]);
      finish(j, under_way[static_cast<std::size_t>(j % 2)]);
    }
    return bytes_sent_;
  }

 private:
  struct Round {
    std::vector<std::vector<std::vector<char>>> pieces;  // by participant and node, of this one's superchunk
    std::vector<std::pair<Transport::Request, int>> messages;
  };

  const std::vector<TreeNode>& nodes(int participant) const {
    return nodes_[static_cast<std::size_t>(participant)];
  }

  ByteRange segment(int participant, std::int64_t j) const {
    const ByteRange all = sums_.superchunk(participant);
    const std::int64_t begin = std::min(all.end, all.begin + j * kDirectSegmentBytes);
    return {begin, std::min(all.end, begin + kDirectSegmentBytes)};
  }

  // This participant's own sum of a node lies in the node's first tensor.
  char* own(const TreeNode& node, const ByteRange& range) const {
    return static_cast<char*>(buffers_.tensors[static_cast<std::size_t>(node.begin - here_ * tensors_)]) +
           range.begin;
  }

  void add_up_own(const ByteRange& range) const {
    for (const TreeNode& node : nodes(here_)) {
      if (node.end - node.begin == 1) continue;
      std::vector<const void*> inputs;
      for (int r = node.begin; r < node.end; ++r) inputs.push_back(own({r, r + 1}, range));
      fold(inputs, own(node, range), range);
    }
  }

  void fold(const std::vector<const void*>& inputs, void* into, const ByteRange& range) const {
    fold_inputs({&into, 1}, inputs, 0, range.size() / element_bytes_,
                {signature_.dtype, signature_.op, ReductionOrder::kTree, 1.0});
  }

  void post(std::int64_t j, Round& round) {
    round.pieces.resize(static_cast<std::size_t>(participants_));
    const ByteRange mine = segment(here_, j);
    for (int hop = 1; hop < participants_ && mine.size() > 0; ++hop) {
      const int peer = (here_ + hop) % participants_;
      auto& pieces = round.pieces[static_cast<std::size_t>(peer)];
      pieces.resize(nodes(peer).size());
      for (auto& piece : pieces) {
        piece.resize(static_cast<std::size_t>(mine.size()));
        round.messages.emplace_back(transport_.receive(piece.data(), piece.size(), peer), peer);
      }
    }
    for (int hop = 1; hop < participants_; ++hop) {
      const int peer = (here_ + participants_ - hop) % participants_;
      const ByteRange theirs = segment(peer, j);
      if (theirs.size() == 0) continue;
      add_up_own(theirs);
      for (const TreeNode& node : nodes(here_)) {
        round.messages.emplace_back(
            transport_.send(own(node, theirs), static_cast<std::size_t>(theirs.size()), peer), peer);
        bytes_sent_ += theirs.size();
      }
    }
  }

  void finish(std::int64_t j, Round& round) {
    for (const auto& [message, peer] : round.messages) wait_.wait_for(message, peer);
    round.messages.clear();
    const ByteRange mine = segment(here_, j);
    if (mine.size() == 0) return;
    add_up_own(mine);
    std::vector<std::pair<TreeNode, char*>> leaves;
    for (int p = 0; p < participants_; ++p) {
      for (std::size_t n = 0; n < nodes(p).size(); ++n) {
        const TreeNode& node = nodes(p)[n];
        leaves.emplace_back(
            node, p == here_ ? own(node, mine) : round.pieces[static_cast<std::size_t>(p)][n].data());
      }
    }
    char* const into = static_cast<char*>(buffers_.result) + mine.begin;
    if (std::has_single_bit(static_cast<unsigned>(tensors_))) {  // the tree over the nodes is one over a list
      std::vector<const void*> inputs;
      for (const auto& [node, data] : leaves) inputs.push_back(data);
      fold(inputs, into, mine);
      return;
    }
    add_up({0, participants_ * tensors_}, leaves, mine, into);
  }

  // Where the sum of `node` lies: a leaf where it is one, else the memory of its first leaf, or `into`.
  char* add_up(TreeNode node, const std::vector<std::pair<TreeNode, char*>>& leaves, const ByteRange& range,
               char* into) const {
    for (const auto& [leaf, data] : leaves) {
      if (leaf == node) return data;
    }
    const int middle = split(node.begin, node.end);
    char* const left = add_up({node.begin, middle}, leaves, range, nullptr);
    char* const right = add_up({middle, node.end}, leaves, range, nullptr);
    char* const sum = into != nullptr ? into : left;
    fold({left, right}, sum, range);
    return sum;
  }

  Transport& transport_;
  const CollectiveSignature& signature_;
  const RingBuffers& buffers_;
  const RingSums& sums_;
  RingWait& wait_;
  const int participants_;
  const int here_;
  const int tensors_;  // of each participant
  const std::int64_t element_bytes_;
  std::vector<std::vector<TreeNode>> nodes_;
  std::int64_t bytes_sent_ = 0;
};

}  // namespace

std::vector<TreeNode> tree_nodes(int ranks, int begin, int end) {
  std::vector<TreeNode> nodes;
  collect_nodes({0, ranks}, begin, end, nodes);
  return nodes;
}

std::int64_t reduce_tree_chunks(Transport& transport, const CollectiveSignature& signature,
                                const RingBuffers& buffers, const RingSums& sums, RingWait& wait) {
  return TreeReduction(transport, signature, buffers, sums, wait).run();
}

}  // namespace lockstep
