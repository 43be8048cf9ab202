// What a computation depends on beside its inputs: random numbers and autocast. For this folder only.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace lockstep {

// The default generators' and autocast's state, as they are on this thread when it is made.
class ForwardState {
 public:
  // `device`: whose generator counts beside the CPU's.
  explicit ForwardState(at::Device device);

  at::Device device() const { return device_; }
  // Makes it the state of this thread.
  void restore() const;

 private:
  struct Autocast {
    at::DeviceType device;
    bool enabled;
    at::ScalarType dtype;
  };

  at::Device device_;
  at::Tensor random_;
  std::vector<Autocast> autocasts_;  // of the CPU and of CUDA
  bool autocast_caches_;
};

// While it lives, this thread computes with gradients in another state. Then everything is as it was, and
// `buffers`, which have to live as long, hold what they held.
class ForwardStateGuard {
 public:
  ForwardStateGuard(const ForwardState& state, const std::vector<at::Tensor>& buffers);
  ~ForwardStateGuard();
  ForwardStateGuard(const ForwardStateGuard&) = delete;
  ForwardStateGuard& operator=(const ForwardStateGuard&) = delete;

 private:
  const ForwardState before_;
  const bool gradients_before_;
  const std::vector<at::Tensor>& buffers_;
  std::vector<at::Tensor> values_before_;
};

}  // namespace lockstep
