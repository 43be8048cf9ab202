// Reviewed call by call against LibTorch 2.11's ATen/cuda/CUDAGraph.h and CUDA's rules for stream capture;
// docs/gpu.md has the list.
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/cuda/CUDAEvent.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>

#include "trainer/graph/step_recording.h"

namespace lockstep {
namespace {

// One that the device works on, and one in hand.
constexpr std::size_t kMostQueued = 2;

// Whether it did not throw: for what puts things right after a failure, of which there may be nothing to put
// right.
bool succeeds(const std::function<void()>& call) noexcept {
  try {
    call();
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

class CudaStepRecording final : public StepRecording {
 public:
  explicit CudaStepRecording(c10::Device device) : device_(device) {}

  // Thread-local mode, since other threads call CUDA meanwhile (loaders allocate pinned memory, the watchdog
  // asks events), and the capture's own work comes from autograd's thread as well. LibTorch registers the
  // default generator: within the capture kernels read seed and offset from the device, where each replay
  // writes them.
  void capture(const std::function<void()>& work) override {
    const c10::cuda::CUDAGuard guard(device_);
    const at::Generator& generator = at::cuda::detail::getDefaultCUDAGenerator(device_.index());
    const at::Tensor random_state = generator.get_state();
    // The graph's memory is a pool of its own, which cannot take what the allocator keeps for others.
    c10::cuda::device_synchronize();
    c10::cuda::CUDACachingAllocator::emptyCache();
    graph_ = std::make_unique<at::cuda::CUDAGraph>();
    const c10::MempoolId_t pool = at::cuda::graph_pool_handle();
    try {
      graph_->capture_begin(pool, cudaStreamCaptureModeThreadLocal);
      work();
      graph_->capture_end();
    } catch (...) {
      abandon(pool, generator, random_state);
      throw;
    }
  }

  void replay() override {
    const c10::cuda::CUDAGuard guard(device_);
    at::cuda::CUDAEvent& done = done_[replays_++ % kMostQueued];
    done.synchronize();  // returns at once the first time
    graph_->replay();
    done.record(c10::cuda::getCurrentCUDAStream(device_.index()));
  }

 private:
  // Wherever the capture has stopped. An operation that may not be captured invalidates it, and LibTorch's
  // capture_end() then throws right after it has ended the stream's capture: allocator and generator still
  // take part in it.
  void abandon(c10::MempoolId_t pool, at::Generator generator, const at::Tensor& random_state) noexcept {
    succeeds([&] { graph_->capture_end(); });
    const auto end_pool = [&] { c10::cuda::CUDACachingAllocator::endAllocateToPool(device_.index(), pool); };
    if (succeeds(end_pool)) {  // otherwise capture_end() came so far, and the graph gives its pool back
      succeeds([&] { at::getHostAllocator(at::kCUDA)->end_allocate_to_pool(pool); });
      succeeds([&] { c10::cuda::CUDACachingAllocator::releasePool(device_.index(), pool); });
      succeeds([&] { at::getHostAllocator(at::kCUDA)->release_pool(pool); });
    }
    graph_.reset();
    static_cast<void>(cudaGetLastError());  // it is known, and says nothing about later calls
    succeeds([&] {
      at::Generator fresh = at::cuda::detail::createCUDAGenerator(device_.index());
      fresh.set_state(random_state);
      generator.graphsafe_set_state(fresh);
    });
  }

  const c10::Device device_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
  std::array<at::cuda::CUDAEvent, kMostQueued> done_;
  std::size_t replays_ = 0;
};

}  // namespace

std::unique_ptr<StepRecording> create_cuda_recording(c10::Device device) {
  return std::make_unique<CudaStepRecording>(device);
}

void prepare_process_for_capture(c10::Device device) {
  // Else NCCL registers what a capture shows it, for which the ranks of a machine wait for each other; one
  // that has refused its capture never comes. Buckets are registered anyway.
  setenv("NCCL_GRAPH_REGISTER", "0", /*overwrite=*/0);
  const c10::cuda::CUDAGuard guard(device);
  c10::cuda::setCurrentCUDAStream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index()));
}

}  // namespace lockstep
