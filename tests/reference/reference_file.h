// What a script in this folder wrote for a test: see lockstep_add_reference in cmake/LockstepTest.cmake.
#pragma once

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>

#include "trainer/checkpoint/safetensors.h"

namespace lockstep {

inline std::filesystem::path reference_path(const std::string& file) {
  const char* directory = std::getenv("LOCKSTEP_REFERENCE_DIR");
  if (directory == nullptr)
    throw std::runtime_error("run through ctest: it lets PyTorch write LOCKSTEP_REFERENCE_DIR");
  return std::filesystem::path(directory) / file;
}

inline std::map<std::string, at::Tensor> read_reference(const std::string& file) {
  std::map<std::string, at::Tensor> tensors;
  for (auto& [name, tensor] : read_safetensors(reference_path(file))) tensors[name] = tensor;
  return tensors;
}

// Equal in dtype, shape and every bit; NaNs and the sign of zeros count.
inline bool same_bits(const at::Tensor& left, const at::Tensor& right) {
  const at::Tensor a = left.detach().contiguous(), b = right.detach().contiguous();
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         (a.nbytes() == 0 || std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0);
}

}  // namespace lockstep
