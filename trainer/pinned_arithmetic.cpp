#include "trainer/pinned_arithmetic.h"

#include <ATen/Context.h>

#include <cstdlib>

namespace lockstep {
namespace {

// The variable's value, which becomes `value` where there is none.
std::string settle(const char* variable, const char* value) {
  setenv(variable, value, /*overwrite=*/0);
  return std::string(variable) + "=" + std::getenv(variable);
}

}  // namespace

std::string pin_cuda_arithmetic() {
  at::Context& context = at::globalContext();
  context.setDeterministicCuDNN(true);
  context.setBenchmarkCuDNN(false);
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicFillUninitializedMemory(false);  // which costs time, and is for programs with bugs
  // cuBLAS documents two sizes with which its results do not depend on streams; this is the faster one.
  const std::string cublas = settle("CUBLAS_WORKSPACE_CONFIG", ":4096:8");
  const std::string nccl = settle("NCCL_NVLS_ENABLE", "0");
  return "for the same bits on any number of ranks: deterministic cuDNN and LibTorch algorithms, " + cublas +
         ", " + nccl;
}

}  // namespace lockstep
