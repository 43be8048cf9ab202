// What GPUs can do, from their makers' data sheets: for estimates, where nothing can be measured.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace lockstep {

struct GpuSpec {
  std::string name;
  double memory_gib = 0.0;
  double fp32_tflops = 0.0;  // without TF32, which PyTorch leaves off
  double fp16_tflops = 0.0;  // dense, on tensor cores, summed in float32
  double bf16_tflops = 0.0;  // likewise; 0: it has none for bfloat16
};

const std::vector<GpuSpec>& gpu_specs();

// By a price table's name, whatever stands behind the model ("A100-80GB", "a100-pay-as-you-go"); none if
// unknown.
std::optional<GpuSpec> find_gpu_spec(const std::string& name);

}  // namespace lockstep
