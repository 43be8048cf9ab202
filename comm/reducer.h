// Reducer: averages gradients over ranks while the backward pass is still running.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/bucket.h"
#include "comm/bucket_caps.h"
#include "comm/communication_hook.h"
#include "comm/communicator.h"
#include "comm/shard_plan.h"
#include "comm/shared_gradients.h"
#include "comm/trace_recorder.h"

namespace lockstep {

struct ReducerOptions {
  std::int64_t first_bucket_cap_bytes = kPytorchFirstCapBytes;
  std::int64_t bucket_cap_bytes = kPytorchCapBytes;
  // Measures the link and the backward pass in the first passes and chooses the caps (comm/bucket_caps.h).
  bool choose_bucket_caps = false;
  // In each pass anew, parameters may go without a gradient. They count as zeros; one that no rank gave a
  // gradient keeps its .grad as it was. Costs a small all-reduce a pass, and buckets are never rebuilt. To be
  // set where the model's forward pass takes different ways; every rank has to use some parameter.
  bool find_unused_parameters = false;
  // The same parameters go without in every pass: those of this rank's first one. Not both of them.
  bool static_graph = false;
  CommunicationHookPtr hook = nullptr;  // in place of the all-reduce; one for each rank
  // How many logical ranks each rank stands for, one synchronised backward pass after the other: averages are
  // those of logical_ranks * world_size() ranks, and come with the last. In an order that does not depend on
  // how logical ranks are spread over ranks (the communicator's, or kTree where that is kFast). 0: a rank is
  // a rank. Goes with neither a hook nor unused parameters.
  int logical_ranks = 0;
};

// What decides bits from one step to the next and therefore belongs into a checkpoint: PyTorch starts with
// one bucket and rebuilds once, in the order in which gradients arrived.
struct BucketHistory {
  BucketAssignment assignment;
  bool rebuilt = false;
};

// The average of a whole shard.
struct ShardAverage {
  std::size_t shard = 0;  // index into Reducer::shards()
  at::Tensor average;     // (shard's size), its elements in the order of memory
};

// Seconds of one backward pass that were spent waiting for other ranks, and when its reductions began.
struct ReductionTimes {
  double exposed_wait_s = 0.0;
  int buckets_started_in_backward = 0;  // before the last gradient was there
};

// Listens to `parameters`' gradients with hooks. In a backward pass that synchronises, each gradient is
// multiplied by 1 / world_size into its bucket as soon as it is ready; a bucket that is full starts its
// all-reduce, in the order of the buckets, so that all ranks issue the same collectives; when the backward
// pass ends every .grad is a view into a bucket that holds the average over ranks. These are PyTorch
// DistributedDataParallel's bits (docs/parity.md).
//
// Over shared memory there are no buckets to copy to (unless there is a hook, or parameters may be unused):
// autograd makes the gradients where all ranks see them, and when the backward pass has ended on all of them
// each rank averages its share of everybody's, in place. The bits are those of the buckets.
//
// Every rank makes its Reducer with the same parameters in the same order. The parameters outlive it. Not
// thread-safe; hooks run on the autograd engine's threads.
class Reducer {
 public:
  // Throws std::invalid_argument if `parameters` (names and leaves) is empty, holds a sparse one, or holds
  // one twice, or if options contradict each other.
  Reducer(std::vector<std::pair<std::string, at::Tensor>> parameters, CommunicatorPtr communicator,
          ReducerOptions options = {});
  ~Reducer();
  Reducer(const Reducer&) = delete;
  Reducer& operator=(const Reducer&) = delete;

  // To be called before each forward pass. `synchronize` false: the next backward pass only accumulates into
  // .grad. Rebuilds the buckets after the first synchronised backward pass, agreed from rank 0 (a
  // collective).
  void prepare_for_forward(bool synchronize);

  // For a rank that has no inputs while others run a synchronised backward pass: takes part in it with
  // gradients of zero, and leaves every .grad as it is. Between begin_join() and end_join(), which are for
  // all ranks.
  void shadow_backward();
  void begin_join();
  void end_join();

  // Whether the averages may be left to whoever updates the parameters: over shared memory, and where a
  // reduce-scatter of a bucket has the bits of its all-reduce (order kFast or kTree, or a RingCommunicator)
  // and nothing is in its way (a hook, unused parameters, several logical ranks, a parameter that is not
  // contiguous).
  bool can_defer() const;
  // Whether gradients are averaged where they lie, in shared memory.
  bool shares_memory() const;
  // From now on whoever updates the parameters calls visit_shards() or visit_buckets() after each backward
  // pass that synchronises. Over shared memory such a pass leaves every rank's own gradients in .grad; else
  // it leaves none, and buckets are reduce-scattered in it rather than all-reduced. Throws std::logic_error
  // unless can_defer().
  void defer_averages(bool deferred);
  // Every rank's shards, by indices into the parameters that require a gradient. Without shared memory they
  // are cut from the buckets, and others after these have been rebuilt: what is remembered of a shard then
  // has to move. Only while averages are deferred, or over shared memory.
  const ShardPlan& shard_plan() const;
  const std::vector<Shard>& shards() const;  // this rank's
  // A collective over shared memory: the averages of this rank's shards, as SharedGradients::visit_shards()
  // has them.
  void visit_shards(const SharedGradients::Visitor& visit);
  // A collective without it: those of each bucket in turn. `visit` updates the parameters, whose elements go
  // from each rank to all others while the next bucket is being updated (unless overlap_gathering()).
  using BucketVisitor = std::function<void(const std::vector<ShardAverage>& averages)>;
  void visit_buckets(const BucketVisitor& visit);
  // A collective: after a deferred backward pass, the averages into .grad after all (to clip them, say).
  void average_now();
  // A collective, without shared memory: the elements of this rank's shards of the parameters to all others,
  // where visit_buckets() has not sent them. .grad holds nothing any more.
  void gather_parameters();

  // From now on visit_buckets() only updates, and gather_parameters(), which has to follow it, returns while
  // parameters are still under way. An operation of LibTorch on the same thread that takes one waits for it
  // (comm/read_watch.h), so that the next forward pass begins at once; so does the next backward pass
  // that synchronises, for the rest. Memory that is read by its address, and other threads, need
  // wait_for_parameters() first. While averages are deferred, not over shared memory. Throws what
  // wait_for_parameters() throws.
  void overlap_gathering(bool overlaps);
  // Until all parameters have come. Local. Throws CommError; one that was met by an operation before does not
  // get lost.
  void wait_for_parameters();
  // Seconds since the last call in which this rank waited for parameters.
  double take_parameter_wait_s();

  // Whether the buckets are those of all passes to come.
  bool is_settled() const;
  // Drops a pass that has failed in the middle while it was being captured, so that its reductions are not
  // under way on any rank. To be called by all ranks.
  void forget_pass();

  BucketHistory history() const;
  // Continues with the buckets of a checkpoint. Throws std::invalid_argument unless each parameter is in it
  // exactly once.
  void load_history(const BucketHistory& history);
  // Of the last synchronised backward pass.
  ReductionTimes times() const;
  // What was decided since the last call, for the log; none if nothing was.
  std::optional<std::string> take_remark();
  // Where buckets' times go; null: nowhere. Between backward passes.
  void set_trace(TraceRecorder* trace);

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with the hooks, which may outlive us inside autograd
};

}  // namespace lockstep
