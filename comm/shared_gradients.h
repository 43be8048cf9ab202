// SharedGradients: the averaging of gradients that lie in shared memory, without buckets to copy them to.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/bucket.h"
#include "comm/gradient_memory.h"
#include "comm/shard_plan.h"
#include "comm/shared_memory_communicator.h"

namespace lockstep {

// Gradients that autograd made in shared memory (comm/gradient_memory.h) are used where they are; others are
// copied to a slot there. When a backward pass has ended on all ranks, each folds its shard of all ranks'
// gradients. The sums have the bits that buckets of the same assignment would give: the order depends on an
// element's place in its bucket, not on who adds.
class SharedGradients {
 public:
  // Null where `communicator` is none of shared memory or a parameter is not on the CPU. Each rank stands for
  // `logical_ranks`, which are averaged as so many ranks would be. A collective.
  static std::unique_ptr<SharedGradients> create(const std::vector<at::Tensor>& parameters,
                                                 const CommunicatorPtr& communicator, int logical_ranks);

  // The buckets whose sums are to be had.
  void use_assignment(const BucketAssignment& assignment);
  // Before a backward pass, on the thread that will do it.
  void begin();
  // `parameter` has its .grad. Throws std::runtime_error if there is no shared memory left to copy it to.
  void add(std::size_t parameter);
  // After the last add() of a logical rank that is not this rank's last: keeps its gradients and leaves none
  // in .grad.
  void next_logical_rank();
  // After the last add(). Every rank calls one of the two, both of which are collectives that block.
  //
  // Every .grad becomes the average over ranks.
  void average();
  // This rank's shards of the averages, a tile at a time: `average` points to the elements
  // [begin, begin + count) of the parameter of plan()[rank][shard], of its dtype, in memory that the next
  // call overwrites. The gradients stay as they are.
  using Visitor =
      std::function<void(std::size_t shard, std::int64_t begin, const void* average, std::int64_t count)>;
  void visit_shards(const Visitor& visit);

  const ShardPlan& plan() const { return plan_; }

 private:
  // Where a parameter lies in its bucket.
  struct Place {
    std::int64_t offset = 0;  // elements
    std::int64_t bucket_elements = 0;
  };
  SharedGradients(std::vector<at::Tensor> parameters, std::shared_ptr<SharedMemoryCommunicator> communicator,
                  int logical_ranks);
  void make_small_slots(std::vector<at::Tensor>& slots) const;
  at::Tensor slot(std::size_t parameter);
  const std::vector<Shard>& shards() const;  // this rank's
  struct Fold;
  Fold prepare(const Shard& shard, std::span<std::byte* const> tables) const;
  std::int64_t tag() const;
  // Runs `body` on every rank when all have come, counts what it moves, and starts over with the first
  // logical rank.
  void exchange(const SharedMemoryCommunicator::Body& body);

  std::vector<at::Tensor> parameters_;
  const int logical_ranks_;
  int logical_rank_ = 0;  // of this rank's, the one whose gradients are being made
  std::shared_ptr<SharedMemoryCommunicator> communicator_;
  GradientMemory memory_;
  at::Tensor table_;  // (logical ranks, parameters) int64: where each gradient lies in this rank's segment
  std::vector<std::vector<at::Tensor>> slots_;  // by logical rank
  std::vector<at::Tensor> held_;                // gradients of the logical ranks before this one
  std::vector<Place> places_;
  ShardPlan plan_;
  std::vector<char> tile_;
};

}  // namespace lockstep
