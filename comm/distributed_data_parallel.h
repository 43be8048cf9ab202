// DistributedDataParallel: one's own torch::nn::Module, trained on N ranks that see different data.
//
//   auto comm = lockstep::create_communicator();
//   lockstep::DistributedDataParallel ddp(std::make_shared<Net>(), comm);
//   torch::nn::functional::cross_entropy(ddp.forward(images), labels).backward();  // .grad is now the
//   average over ranks optimizer.step();
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "comm/join.h"
#include "comm/logical_buffers.h"
#include "comm/module_state.h"
#include "comm/reducer.h"

namespace lockstep {

struct DdpOptions {
  ReducerOptions reducer;
  bool broadcast_buffers =
      true;  // rank 0's BatchNorm statistics before each forward pass that follows a training step
};

// Rank 0's parameters and buffers are broadcast on construction, so all ranks start equal; after each
// backward pass gradients are averaged, so they stay equal. Every rank must construct it and run forward and
// backward equally often. Gradients are dropped between steps by zero_grad() as usual. Behaves as PyTorch's
// DistributedDataParallel does with its defaults, to the bit on the CPU. Not thread-safe. One instance per
// module at a time.
//
// With reducer.logical_ranks = K each rank does the forward and backward passes of K logical ranks in each
// step, one after the other, those of logical rank rank() * K + k being its k-th; .grad is there after the
// last. Random states are the caller's to swap.
template <typename M>
class DistributedDataParallel {
 public:
  // Throws what Reducer and the communicator throw.
  DistributedDataParallel(std::shared_ptr<M> module, CommunicatorPtr communicator, DdpOptions options = {})
      : module_(std::move(module)),
        communicator_(std::move(communicator)),
        options_(options),
        buffers_(module_buffers(*module_)),
        logical_buffers_(buffers_),
        reducer_((broadcast_module_state(*module_, *communicator_), module_parameters(*module_)),
                 communicator_, options.reducer) {
    if (options.reducer.logical_ranks > 1 && !options.broadcast_buffers)
      throw std::invalid_argument("several logical ranks per rank need broadcast_buffers");
  }

  // The module's own forward. Before it: rank 0's buffers, if the forward pass before this one had gradients
  // and was to be synchronised.
  template <typename... Args>
  auto forward(Args&&... args) {
    begin_pass();
    return module_->forward(std::forward<Args>(args)...);
  }

  // Rank 0's buffers on every rank, if they may differ. forward() does it; call it before leaving forward()
  // out on some ranks only (an uneven evaluation), or before saving the module.
  void sync_buffers() {
    if (joining_)
      throw std::logic_error("sync_buffers() within join(): ranks without inputs cannot take part");
    sync_buffers_from(0);
  }

  // Runs `loop`, which may call forward() and backward() on some ranks less often than on others: a rank
  // whose loop has ended takes part in the others' communication with gradients of zero (averages still
  // divide by the number of all ranks) until everybody's has. Then every rank gets parameters and buffers of
  // one that ended last. A collective; passes through what `loop` throws, and the peers then wait for this
  // rank as after any failure. Throws std::invalid_argument if the module communicates in its forward pass.
  // As PyTorch's Join([ddp]).
  template <typename Loop>
  void join(Loop&& loop) {
    if (joining_) throw std::logic_error("join() within join()");
    check_can_join(*module_);
    reducer_.begin_join();
    joining_ = true;
    try {
      std::forward<Loop>(loop)();
    } catch (...) {
      joining_ = false;
      reducer_.end_join();
      throw;
    }
    joining_ = false;
    bool ended_last = true;
    while (shadow_pass()) ended_last = false;
    reducer_.end_join();
    std::vector<at::Tensor> state = buffers_;
    for (const auto& [name, parameter] : module_parameters(*module_)) state.push_back(parameter);
    broadcast_tensors(state, *communicator_, agree_on_rank(ended_last, *communicator_));
    buffers_are_stale_ = false;
  }

  // While it lives, backward passes accumulate gradients without communication. Create it before the forward
  // pass.
  class NoSync {
   public:
    explicit NoSync(DistributedDataParallel& owner)
        : owner_(owner), before_(std::exchange(owner.synchronize_, false)) {}
    ~NoSync() { owner_.synchronize_ = before_; }
    NoSync(const NoSync&) = delete;
    NoSync& operator=(const NoSync&) = delete;

   private:
    DistributedDataParallel& owner_;
    bool before_;
  };
  [[nodiscard]] NoSync no_sync() { return NoSync(*this); }

  // A training step has been recorded, or replayed, that this object saw nothing of: the ranks' buffers may
  // differ now. Without it, a step that is captured right after sync_buffers() would lack its broadcast.
  void expect_replay() { buffers_are_stale_ = true; }

  M& module() { return *module_; }
  Reducer& reducer() { return reducer_; }

 private:
  void begin_pass() {
    const ForwardPass pass{.with_gradients = at::GradMode::is_enabled(), .synchronize = synchronize_};
    if (!next_logical_rank()) {
      // Where rank 0 may have run out of inputs, buffers come from a rank that has not.
      sync_buffers_from(joining_ ? agree_on_pass(pass, *communicator_)->rank : 0);
      if (options_.reducer.logical_ranks > 1 && !in_turn_) logical_buffers_.begin();
    }
    prepare(pass);
  }

  // Whether the pass that begins is the first of a logical rank that is not this rank's first.
  bool next_logical_rank() {
    if (!buffers_are_stale_ || logical_rank_ + 1 >= options_.reducer.logical_ranks) return false;
    logical_buffers_.next();
    ++logical_rank_;
    buffers_are_stale_ = false;
    return true;
  }

  // What begin_pass() and the backward pass after it communicate, on a rank without inputs. False if no rank
  // has any.
  bool shadow_pass() {
    const auto agreed = agree_on_pass(std::nullopt, *communicator_);
    if (!agreed) return false;
    sync_buffers_from(agreed->rank);
    prepare(agreed->pass);
    if (agreed->pass.with_gradients && agreed->pass.synchronize) reducer_.shadow_backward();
    return true;
  }

  void sync_buffers_from(int root) {
    if (!options_.broadcast_buffers || !buffers_are_stale_) return;
    logical_buffers_.end();
    logical_rank_ = 0;
    in_turn_ = false;
    broadcast_tensors(buffers_, *communicator_, root);
    buffers_are_stale_ = false;
  }

  void prepare(const ForwardPass& pass) {
    if (!pass.with_gradients) return;
    reducer_.prepare_for_forward(pass.synchronize);
    buffers_are_stale_ = pass.synchronize;
    in_turn_ = true;
  }

  std::shared_ptr<M> module_;
  CommunicatorPtr communicator_;
  DdpOptions options_;
  std::vector<at::Tensor> buffers_;
  LogicalBuffers logical_buffers_;
  int logical_rank_ = 0;  // of this rank's, the one that passes belong to
  bool in_turn_ = false;  // a pass with gradients has begun since the buffers were made equal
  bool synchronize_ = true;
  bool joining_ = false;
  bool buffers_are_stale_ = false;
  Reducer reducer_;
};

}  // namespace lockstep
