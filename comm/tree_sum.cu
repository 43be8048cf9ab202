#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <array>
#include <atomic>

#include "comm/tree_sum_kernel.h"

namespace lockstep {
namespace {

constexpr int kThreads = 256;               // of a block
constexpr std::int64_t kMostBlocks = 1024;  // fills every GPU of today; each thread then takes several packs
constexpr int kMostDevices = 64;

template <int kLanes, typename T>
__global__ void __launch_bounds__(kThreads) tree_sum_kernel(TreeSum<T> sum) {
  add_up_share<kLanes>(sum, std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
                       std::int64_t{gridDim.x} * blockDim.x);
}

struct Queue {
  cudaStream_t stream;

  template <int kLanes, typename T>
  void operator()(const TreeSum<T>& sum) const {
    const std::int64_t packs = std::max<std::int64_t>(sum.elements / kLanes, 1);
    const auto blocks = static_cast<unsigned>(std::min((packs + kThreads - 1) / kThreads, kMostBlocks));
    tree_sum_kernel<kLanes><<<blocks, kThreads, 0, stream>>>(sum);
    C10_CUDA_KERNEL_LAUNCH_CHECK();
  }
};

// Loads it, too, which must not happen first while a graph is captured.
template <typename T>
bool is_built() {
  for (const auto kernel : {tree_sum_kernel<1, T>, tree_sum_kernel<kTreeSumPackBytes / sizeof(T), T>}) {
    cudaFuncAttributes attributes;
    const cudaError_t result = cudaFuncGetAttributes(&attributes, kernel);
    if (result == cudaErrorNoKernelImageForDevice || result == cudaErrorInvalidDeviceFunction ||
        result == cudaErrorUnsupportedPtxVersion || result == cudaErrorInvalidPtx) {
      (void)cudaGetLastError();  // that of a GPU older than those this was built for
      return false;
    }
    C10_CUDA_CHECK(result);
  }
  return true;
}

bool has_code_for(int device) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  return is_built<float>() && is_built<double>() && is_built<c10::Half>() && is_built<c10::BFloat16>();
}

}  // namespace

bool has_tree_sum(c10::ScalarType dtype, int cuda_device) {
  static std::array<std::atomic<int>, kMostDevices> known{};  // 0: not asked yet, 1: yes, 2: no
  if (!has_tree_sum(dtype) || cuda_device < 0 || cuda_device >= kMostDevices) return false;
  std::atomic<int>& has = known[static_cast<std::size_t>(cuda_device)];
  if (has.load() == 0) has.store(has_code_for(cuda_device) ? 1 : 2);
  return has.load() == 1;
}

void queue_tree_sum(const TreeSumCall& call, cudaStream_t stream) {
  run_tree_sum(call, Queue{stream});
}

}  // namespace lockstep
