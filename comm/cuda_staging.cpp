#include "comm/cuda_staging.h"

#include <ATen/cuda/CUDAEvent.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace lockstep {

struct CudaStaging::State {
  explicit State(const at::Tensor& tensor)
      : source(tensor),
        device(tensor.device()),
        // One of the pool's streams: copies must not queue behind the backward pass on the current one.
        stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device.index())) {}

  at::Tensor source;
  at::Tensor host;
  c10::Device device;
  c10::cuda::CUDAStream stream;
  at::cuda::CUDAEvent ready;
  at::cuda::CUDAEvent done;
};

CudaStaging::CudaStaging(const at::Tensor& tensor) : state_(std::make_unique<State>(tensor)) {
  const c10::cuda::CUDAGuard guard(state_->device);
  state_->ready.record(c10::cuda::getCurrentCUDAStream(state_->device.index()));
}

CudaStaging::~CudaStaging() = default;

at::Tensor CudaStaging::copy_to_host() {
  const c10::cuda::CUDAStreamGuard guard(state_->stream);
  state_->ready.block(state_->stream);
  at::Tensor host =
      at::empty(state_->source.sizes(), state_->source.options().device(at::kCPU).pinned_memory(true));
  host.copy_(state_->source, /*non_blocking=*/true);
  state_->stream.synchronize();
  return host;
}

void CudaStaging::copy_to_device(const at::Tensor& host, const at::Tensor& tensor) {
  const c10::cuda::CUDAStreamGuard guard(state_->stream);
  state_->ready.block(state_->stream);
  tensor.copy_(host, /*non_blocking=*/true);
  state_->host = host;
  state_->done.record(state_->stream);
}

void CudaStaging::wait() {
  state_->done.block(c10::cuda::getCurrentCUDAStream(state_->device.index()));
}

}  // namespace lockstep
