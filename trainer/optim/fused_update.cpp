#include "trainer/optim/fused_update.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Version.h>
#include <ATen/ops/randn.h>

#include <string>

namespace lockstep {

const UpdateKernels& update_kernels() {
#ifdef LOCKSTEP_X86_64_LEVELS
  // LibTorch decides by the processor too, but ATEN_CPU_CAPABILITY may hold it back.
  static const UpdateKernels& kernels = [&]() -> const UpdateKernels& {
    const std::string capability = at::get_cpu_capability();
    if (capability == "AVX512") return update_v4::kernels;
    return capability == "AVX2" ? update_v3::kernels : update_default::kernels;
  }();
  return kernels;
#else
  return update_default::kernels;
#endif
}

at::Tensor test_values(std::uint64_t seed) {
  constexpr std::int64_t kElements = 20011;
  return at::randn({kElements}, at::detail::createCPUGenerator(seed));
}

bool can_fuse(std::initializer_list<at::Tensor> tensors) {
  const at::Tensor& first = *tensors.begin();
  for (const at::Tensor& tensor : tensors) {
    if (!tensor.is_cpu() || tensor.scalar_type() != at::kFloat || tensor.layout() != at::kStrided ||
        !tensor.is_non_overlapping_and_dense() || tensor.strides() != first.strides() ||
        tensor.sizes() != first.sizes()) {
      return false;
    }
  }
  return true;
}

}  // namespace lockstep
