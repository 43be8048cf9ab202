// ShardedOptimizer: an update whose work and memory the ranks share out (ZeRO stage 1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/reducer.h"
#include "comm/shard_plan.h"
#include "trainer/optim/elementwise_optimizer.h"

namespace lockstep {

// Each rank keeps the memory of its shards (comm/shard_plan.h) and updates those; the parameters come out
// with the bits of the whole optimizer.
//
// Where all ranks share memory, the parameters are moved there, once for all ranks, and step() is one pass
// over every rank's gradients: the averages are never stored. .grad then holds this rank's own gradients
// after a backward pass; what needs the averages calls average_gradients() first.
//
// Where buckets can be reduce-scattered instead (Reducer::can_defer()), a rank's shards are its blocks of the
// buckets, and step() sends them round bucket by bucket; .grad holds nothing until average_gradients(), nor
// after step(). When the buckets are rebuilt, what is remembered moves with the shards.
//
// Elsewhere the Reducer averages as it does without, and step() sends the updated shards round.
//
// step(), state() and average_gradients() are collectives. While it lives, nothing else may change the
// parameters. The destructor gives every rank parameters of its own again.
class ShardedOptimizer final : public Optimizer {
 public:
  // `parameters`: those of `reducer`, in its order; both outlive it. Throws what create_optimizer() throws,
  // and std::invalid_argument for fused kernels on the CPU. A collective.
  ShardedOptimizer(const std::string& name, std::vector<at::Tensor> parameters,
                   const OptimizerOptions& options, Reducer& reducer, CommunicatorPtr communicator);
  ~ShardedOptimizer() override;

  void step() override;
  // With OptimizerOptions::fused, and where buckets are reduce-scattered, the host reads found_inf in the
  // first step only.
  void step_unless(const at::Tensor& found_inf) override;
  void zero_grad() override;
  std::string name() const override { return shards_optimizer_->name(); }
  double lr() const override { return shards_optimizer_->lr(); }
  void set_lr(double lr) override { shards_optimizer_->set_lr(lr); }
  void set_momentum(double momentum) override {
    momentum_ = momentum;
    shards_optimizer_->set_momentum(momentum);
  }
  // Of whole parameters, on every rank: a checkpoint does not depend on the number of shards.
  std::vector<OptimizerStateEntry> state() override;
  void load_state(const std::vector<OptimizerStateEntry>& entries) override;
  using CopyEntry = std::function<at::Tensor(const OptimizerStateEntry& whole)>;
  // The same as state(), for a checkpoint: on rank 0, and nothing on the others. Where ranks share memory
  // each has copied its shards, once, to a block of it that the next call overwrites. Elsewhere whole tensors
  // pass by, a few MiB at a time, of which rank 0 keeps what `copy` returns (which may not refer to them).
  std::vector<OptimizerStateEntry> snapshot_state(const CopyEntry& copy);

  // The averages into .grad, before they are clipped; step() then takes them from there.
  void average_gradients();

  // Where buckets are reduce-scattered: from now on step() leaves the parameters on their way, and the next
  // forward pass waits for each as it comes to it. What else reads them, except by LibTorch's operations on
  // this thread (on a GPU: and this stream), calls wait_for_parameters() first; so does who evaluates, since
  // an operation that meets a failure leaves it to the next backward pass to throw. To be called, as step(),
  // outside autograd's callbacks. `before_gathering` is done by step() once the averages have served:
  // collectives of the next forward pass that would queue behind the parameters (a module's buffers:
  // DistributedDataParallel::sync_buffers()). Changes nothing where buckets are not scattered.
  void overlap_param_gather(std::function<void()> before_gathering = {});
  // Local. Throws CommError.
  void wait_for_parameters() { reducer_.wait_for_parameters(); }
  // Seconds of the last step() (and average_gradients()) in which this rank waited for others or sent.
  double exposed_wait_s() const { return exposed_wait_s_; }
  // Whether the parameters lie in shared memory.
  bool shares_memory() const { return shared_ != nullptr; }
  // Whether buckets are reduce-scattered.
  bool scatters() const { return scatters_; }
  bool overlaps_param_gather() const { return overlaps_; }

 private:
  static std::int64_t in_lines(std::int64_t bytes);
  void share_parameters();
  // Makes shards_optimizer_, which remembers nothing yet.
  void make_shards();
  // Whether the buckets are others than the plan's, which may be once or twice in a run.
  bool buckets_have_changed() const { return scatters_ && plan_ != reducer_.shard_plan(); }
  void follow_buckets();
  void move_with_buckets();
  void visit_state(const std::function<void(const OptimizerStateEntry&)>& visit) const;
  struct OwnPart;
  std::vector<OwnPart> own_parts() const;
  void put_together(const std::vector<OwnPart>& own, const std::map<std::size_t, at::Tensor>& batch) const;
  std::vector<OptimizerStateEntry> gathered_snapshot(const CopyEntry& copy);
  void add_shards_of(const OptimizerStateEntry& whole, const std::vector<Shard>& shards,
                     std::vector<OptimizerStateEntry>& entries) const;
  std::vector<bool> remembered_cells(const std::vector<OwnPart>& own) const;
  std::size_t kind_of(const OptimizerStateEntry& entry) const;
  struct SnapshotLayout;
  SnapshotLayout snapshot_layout(const std::vector<OwnPart>& own) const;
  std::byte* snapshot_block(std::int64_t bytes);
  double waited_s() const;
  const std::vector<Shard>& own_shards() const;
  void step_with(const at::Tensor& found_inf);
  void update_from_averages(const at::Tensor& found_inf);
  void update_from_gradients(const at::Tensor& found_inf);
  void send_shards_round();
  at::Tensor shard_of(const at::Tensor& parameter, const Shard& shard) const;

  const std::string name_;
  const OptimizerOptions options_;
  std::optional<double> momentum_;  // where it was changed since
  std::vector<at::Tensor> parameters_;
  Reducer& reducer_;
  CommunicatorPtr communicator_;
  std::shared_ptr<SharedMemoryCommunicator> shared_;
  bool scatters_ = false;  // averages come by reduce-scatter
  bool overlaps_ = false;
  bool remembers_ = false;  // every shard of every rank has what the rule remembers
  std::function<void()> before_gathering_;
  ShardPlan plan_;
  std::unique_ptr<ElementwiseOptimizer> shards_optimizer_;
  at::Tensor snapshot_;  // on rank 0, snapshot_state()'s block
  bool averaged_ = false;
  double exposed_wait_s_ = 0.0;
};

}  // namespace lockstep
