// What a Reducer keeps, and how it goes through a backward pass. For comm/reducer*.cpp only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "comm/bucket_caps.h"
#include "comm/read_watch.h"
#include "comm/reducer.h"
#include "comm/used_parameters.h"

namespace lockstep {

inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Reducer::State : std::enable_shared_from_this<Reducer::State>, ReadListener {
  struct ActiveBucket {
    std::vector<std::int64_t> parameters;
    std::optional<Bucket> memory;  // none over shared memory
    std::size_t pending = 0;       // gradients that have not come yet
    WorkPtr work;
    std::int64_t begin_ns = 0;  // of its reduction, for the trace
    WorkPtr gathering = {};     // of its parameters, into its memory, whose averages have served by then
    std::int64_t gathering_begin_ns = 0;
  };
  // Where a parameter's gradient goes.
  struct Slot {
    std::size_t bucket = 0;
    std::size_t index = 0;  // within the bucket
  };

  std::vector<std::string> names;
  std::vector<at::Tensor> parameters;
  CommunicatorPtr communicator;
  ReducerOptions options;

  std::unique_ptr<SharedGradients> shared;  // in place of the buckets' memory
  std::unique_ptr<SharedGradients> parked;  // it, during a join
  bool deferred = false;
  ShardPlan plan;  // of the buckets' blocks, while averages are deferred without shared memory
  bool overlaps_gathering = false;
  std::size_t gatherings_left = 0;  // buckets whose parameters are under way to all ranks
  // Buckets whose parameters lie in a storage.
  std::unordered_map<const c10::StorageImpl*, std::vector<std::size_t>> buckets_in;
  std::exception_ptr gathering_error;  // met by an operation that was about to read a parameter
  double gathering_wait_s = 0.0;
  TraceRecorder* trace = nullptr;

  std::mutex mutex;  // CUDA gradients arrive on the engine's device threads
  std::vector<ActiveBucket> buckets;
  std::vector<Slot> slots;  // by parameter
  std::vector<bool> ready;  // by parameter
  std::vector<std::int64_t> arrival_order;
  std::vector<GradientArrival> arrivals;  // of the last pass, in the same order; where caps are chosen
  std::chrono::steady_clock::time_point first_arrival;
  int passes = 0;        // synchronised ones, until the buckets are rebuilt
  int logical_rank = 0;  // of this rank's, the one whose pass is under way or comes next
  std::string remark;
  std::optional<UsedParameters> used;  // where parameters may be unused
  std::vector<std::size_t> absent;     // those without a gradient in this pass
  bool absent_known = false;           // of a static graph: `absent` is that of every pass
  bool rebuilt = false;
  bool synchronize = true;
  bool in_backward = false;
  bool expects_backward = false;  // a forward pass has been prepared since the last backward pass
  std::size_t next_bucket = 0;    // buckets start in order, on every rank alike
  std::size_t gradients_left = 0;
  ReductionTimes times;
  at::Tensor one_over_world_size;  // of logical ranks; a number in the sense of type promotion, as in
                                   // PyTorch's reducer

  // Where gradients go.
  void use_assignment(const BucketAssignment& assignment);
  BucketAssignment assignment() const;
  BucketAssignment assignment_by_arrival(const std::vector<std::int64_t>& order) const;
  bool measures() const { return options.choose_bucket_caps && !rebuilt && !shared; }
  bool can_rebuild() const;
  int logical_ranks() const { return std::max(options.logical_ranks, 1); }
  bool is_last_logical_rank() const { return logical_rank + 1 == logical_ranks(); }
  // Rank 0's arrival order decides, since it may differ between ranks, and so do the caps that it finds best.
  void rebuild_buckets();
  void choose_caps();

  // One backward pass, in this order.
  void begin_backward();
  void on_gradient(std::size_t parameter);
  void check_dense(std::size_t parameter) const;
  // .grad becomes a view into the bucket.
  void move_into_bucket(std::size_t parameter);
  // What this rank has no gradient for counts as what lies in .grad already, else as zeros.
  void add_absent(std::size_t parameter);
  // The product is taken before the sum, as PyTorch does; but a hook gets gradients as they are.
  void copy_into(at::Tensor view, const at::Tensor& gradient) const;
  void mark_ready(std::size_t parameter);
  void start_reduction(std::size_t bucket, const at::Tensor& gradients);
  void finish_backward();
  void add_all_absent();
  void wait_for(std::size_t bucket);
  void average_in_place();

  // comm/reducer_shards.cpp: averages that are left to whoever updates shards, without shared memory.
  bool can_scatter() const;
  void check_deferred() const;  // std::logic_error
  bool scatters() const { return deferred && !shared; }
  void plan_blocks();
  void leave_out_update();
  void wait_for_averages(std::size_t bucket);
  void visit_buckets(const BucketVisitor& visit);
  void average_blocks();
  at::Tensor elements_of(const BlockPart& part) const;
  void gather_parameters();
  std::size_t gathered_as(std::size_t i) const;  // the bucket whose turn is the i-th
  void start_gathering(std::size_t bucket);
  void finish_gathering(std::size_t bucket);
  void finish_gatherings();
  void fail_gatherings();
  void watch_parameters();
  bool listens() const override { return gatherings_left > 0; }
  void before_read(const c10::StorageImpl* storage) noexcept override;

  // Of a logical rank that is not this rank's last: its gradients are kept, and the next finds none.
  void next_logical_rank();
  // A rank without inputs instead: the peers' collectives, with zeros.
  void shadow();

  // The peers wait for this rank's part of the exchange, so that a hook's error has to end theirs, too.
  void guard_hook(std::size_t bucket, const std::function<void()>& body);
  // A backward pass that threw may have left reductions running in the buckets, and the peers in the middle
  // of theirs.
  void check_nothing_under_way();
  [[noreturn]] void refuse_second_gradient(std::size_t parameter);
  // Of this rank, in errors.
  std::string name_of_rank() const {
    return "rank " + std::to_string(communicator->named_rank(communicator->rank()));
  }
  [[noreturn]] void refuse_missing(const std::vector<std::size_t>& missing) const;
};

}  // namespace lockstep
