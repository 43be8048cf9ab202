#include "trainer/random_state.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <mutex>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

at::Tensor state_of(at::Generator generator) {
  const std::scoped_lock lock(generator.mutex());
  return generator.get_state();
}

}  // namespace

void seed_everything(std::uint64_t seed) {
  at::manual_seed(seed);
}

at::Tensor random_state(at::Device device) {
  const at::Tensor cpu = state_of(at::detail::getDefaultCPUGenerator());
  if (!device.is_cuda()) return cpu.clone();
  return at::cat({cpu, state_of(at::globalContext().defaultGenerator(device))});
}

void set_random_state(const at::Tensor& state, at::Device device) {
  const std::int64_t wanted = random_state(device).numel();
  if (!state.defined() || state.scalar_type() != at::kByte || state.dim() != 1 || state.numel() != wanted) {
    throw DataError("checkpoint: the random state is not one of this kind of device (" +
                    std::to_string(wanted) + " bytes); resume where the checkpoint was made");
  }
  const auto restore = [](const at::Generator& shared, const at::Tensor& bytes) {
    at::Generator generator = shared;
    const std::scoped_lock lock(generator.mutex());
    generator.set_state(bytes);
  };
  const at::Generator& cpu = at::detail::getDefaultCPUGenerator();
  const std::int64_t cpu_bytes = state_of(cpu).numel();
  restore(cpu, state.narrow(0, 0, cpu_bytes).clone());
  if (device.is_cuda()) {
    restore(at::globalContext().defaultGenerator(device),
            state.narrow(0, cpu_bytes, wanted - cpu_bytes).clone());
  }
}

void draw_data_loader_seed() {
  at::empty({}, at::TensorOptions().dtype(at::kLong)).random_();
}

}  // namespace lockstep
