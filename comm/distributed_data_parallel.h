// DistributedDataParallel: one's own torch::nn::Module, trained on N ranks that see different data.
//
//   auto comm = lockstep::create_communicator();
//   lockstep::DistributedDataParallel ddp(std::make_shared<Net>(), comm);
//   torch::nn::functional::cross_entropy(ddp.forward(images), labels).backward();  // .grad is now the
//   average over ranks optimizer.step();
#pragma once

#include <torch/nn/module.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
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
template <typename M>
class DistributedDataParallel {
 public:
  // Throws what Reducer and the communicator throw.
  DistributedDataParallel(std::shared_ptr<M> module, CommunicatorPtr communicator, DdpOptions options = {})
      : module_(std::move(module)),
        communicator_(std::move(communicator)),
        options_(options),
        buffers_(module_buffers(*module_)),
        reducer_((broadcast_module_state(*module_, *communicator_), module_parameters(*module_)),
                 communicator_, options.reducer) {}

  // The module's own forward. Before it: rank 0's buffers, if the forward pass before this one had gradients
  // and was to be synchronised.
  template <typename... Args>
  auto forward(Args&&... args) {
    sync_buffers();
    if (at::GradMode::is_enabled()) {
      reducer_.prepare_for_forward(synchronize_);
      buffers_are_stale_ = synchronize_;
    }
    return module_->forward(std::forward<Args>(args)...);
  }

  // Rank 0's buffers on every rank, if they may differ. forward() does it; call it before leaving forward()
  // out on some ranks only (an uneven evaluation), or before saving the module.
  void sync_buffers() {
    if (!options_.broadcast_buffers || !buffers_are_stale_) return;
    broadcast_tensors(buffers_, *communicator_);
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

  M& module() { return *module_; }
  Reducer& reducer() { return reducer_; }

 private:
  std::shared_ptr<M> module_;
  CommunicatorPtr communicator_;
  DdpOptions options_;
  std::vector<at::Tensor> buffers_;
  bool synchronize_ = true;
  bool buffers_are_stale_ = false;
  Reducer reducer_;
};

}  // namespace lockstep
