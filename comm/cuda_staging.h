// CUDA tensors through pinned host memory, for backends that only know the CPU.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>

namespace lockstep {

// One tensor's way to the host and back. mark_ready() and wait() are for the thread that trains, the rest for
// the communicator's thread. No call blocks the GPU's other streams.
class CudaStaging {
 public:
  // Remembers what the current stream has to finish before `tensor` may be read.
  explicit CudaStaging(const at::Tensor& tensor);
  ~CudaStaging();

  // A pinned host copy of the tensor, complete on return.
  at::Tensor copy_to_host();
  // Starts the copy back into `tensor`; `host` is kept until wait().
  void copy_to_device(const at::Tensor& host, const at::Tensor& tensor);
  // Makes the current stream wait for the copy back; the host does not wait.
  void wait();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lockstep
