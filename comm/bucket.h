// Which gradients travel together: bucket assignment as a pure function, and the buckets' memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// Parameter indices of each bucket, in the order in which their gradients lie in it.
using BucketAssignment = std::vector<std::vector<std::int64_t>>;

inline constexpr std::int64_t kUnlimitedBucketBytes = std::numeric_limits<std::int64_t>::max();

// Fills buckets with `parameters` in the order of `order` (indices into it), one bucket at a time for each
// dtype and device. A bucket is closed as soon as it holds its cap, so a parameter is never split and a
// bucket may exceed its cap by one. The first bucket that is closed has the first of `caps_bytes`, the second
// the next, and so on, the last cap serving the rest. Buckets come in the order in which they were closed,
// those left open at the end last. This is PyTorch's compute_bucket_assignment_by_size
// (torch/csrc/distributed/c10d/reducer.cpp). Throws std::invalid_argument for an empty cap list or a cap
// below 1.
BucketAssignment assign_buckets(const std::vector<at::Tensor>& parameters,
                                const std::vector<std::int64_t>& order,
                                const std::vector<std::int64_t>& caps_bytes);

// What of a parameter lies in a block of a bucket.
struct BlockPart {
  std::int64_t parameter = 0;  // its index
  std::int64_t begin = 0;      // its elements [begin, begin + count) ...
  std::int64_t count = 0;
  std::int64_t offset = 0;  // ... are those from here on of the block
};

enum class BucketLayout {
  kFlat,
  kBlocks,  // also cut into a block for each rank, which holds what it completes of an all-reduce
};

// One bucket: flat memory, a row for each logical rank, and a view of it shaped like each of its parameters.
class Bucket {
 public:
  // Zeroed memory of the parameters' dtype on their device, from `communicator`. Blocks are for one logical
  // rank.
  Bucket(const std::vector<at::Tensor>& parameters, std::vector<std::int64_t> parameter_indices,
         Communicator& communicator, int logical_ranks = 1, BucketLayout layout = BucketLayout::kFlat);

  const at::Tensor& rows() const { return rows_; }
  // The last row, into which the averages come.
  const at::Tensor& flat() const { return flat_; }
  const std::vector<std::int64_t>& parameter_indices() const { return parameter_indices_; }
  // The view for the i-th of parameter_indices() in the last row.
  const at::Tensor& view(std::size_t i) const { return views_.back()[i]; }
  const at::Tensor& view(std::size_t i, int logical_rank) const {
    return views_[static_cast<std::size_t>(logical_rank)][i];
  }

  // With kBlocks: flat(), and zeros up to world_size blocks of equal size. These are the chunks of flat()'s
  // all-reduce (comm/reduction.h), so that a reduce-scatter of them has its bits.
  const at::Tensor& blocks() const { return blocks_; }
  // Memory of the size of one block.
  const at::Tensor& block() const { return block_; }
  // In the order of memory.
  std::vector<BlockPart> parts_of_block(int rank) const;

 private:
  std::vector<std::int64_t> parameter_indices_;
  at::Tensor rows_;                             // (logical ranks, sum of numel)
  at::Tensor flat_;                             // (sum of numel)
  at::Tensor blocks_;                           // (world_size * block)
  at::Tensor block_;                            // (block)
  std::vector<std::vector<at::Tensor>> views_;  // by row
};

}  // namespace lockstep
