// LogicalBuffers: what several logical ranks of one process do to a module's buffers.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace lockstep {

// Under data parallelism every rank starts a step with rank 0's buffers (BatchNorm's statistics), and only
// what rank 0 makes of them is kept. Here the logical ranks of a process take turns with one set of tensors:
// each starts with the same, and in the end they are as the first has left them.
class LogicalBuffers {
 public:
  explicit LogicalBuffers(std::vector<at::Tensor> buffers) : buffers_(std::move(buffers)) {}

  // Before the first turn.
  void begin() { at_start_ = copies(); }
  // Between two turns.
  void next() {
    if (of_first_.empty()) of_first_ = copies();
    restore(at_start_);
  }
  // After the last turn; nothing happens where there was only one.
  void end() {
    restore(of_first_);
    of_first_.clear();
  }

 private:
  std::vector<at::Tensor> copies() const {
    std::vector<at::Tensor> result;
    for (const at::Tensor& buffer : buffers_) result.push_back(buffer.detach().clone());
    return result;
  }
  void restore(const std::vector<at::Tensor>& from) {
    for (std::size_t i = 0; i < from.size(); ++i) buffers_[i].copy_(from[i]);
  }

  std::vector<at::Tensor> buffers_;
  std::vector<at::Tensor> at_start_;
  std::vector<at::Tensor> of_first_;
};

}  // namespace lockstep
