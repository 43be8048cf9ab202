#include "comm/cuda_device.h"

#include <c10/cuda/CUDAFunctions.h>
#include <cuda_runtime_api.h>

#include <stdexcept>

namespace lockstep {

std::string cuda_version_text(int version) {
  constexpr int kMajor = 1000;
  constexpr int kMinor = 10;
  return std::to_string(version / kMajor) + "." + std::to_string(version % kMajor / kMinor);
}

CudaVersions cuda_versions() {
  CudaVersions versions;
  if (cudaDriverGetVersion(&versions.driver) != cudaSuccess) versions.driver = 0;
  if (cudaRuntimeGetVersion(&versions.runtime) != cudaSuccess) versions.runtime = 0;
  return versions;
}

std::string why_no_gpu(const CudaVersions& versions) {
  // A driver serves every run time of its own major version.
  constexpr int kMajor = 1000;
  if (versions.driver > 0 && versions.driver / kMajor < versions.runtime / kMajor) {
    return "its NVIDIA driver serves CUDA " + cuda_version_text(versions.driver) +
           " at most, and this build needs " + cuda_version_text(versions.runtime) +
           "; install a newer driver, or use --device cpu (or auto)";
  }
  return "this machine has no GPU that CUDA can use; use --device cpu (or auto)";
}

at::Device choose_device(const std::string& asked_for, const Placement& placement) {
  if (asked_for == "cpu") return at::kCPU;
  const int gpus = c10::cuda::device_count();
  if (gpus == 0) {
    if (asked_for == "auto") return at::kCPU;
    throw std::invalid_argument("--device cuda: " + why_no_gpu(cuda_versions()));
  }
  return {at::kCUDA, static_cast<at::DeviceIndex>(placement.local_rank % gpus)};
}

}  // namespace lockstep
