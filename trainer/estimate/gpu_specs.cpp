#include "trainer/estimate/gpu_specs.h"

#include <algorithm>
#include <cctype>

namespace lockstep {
namespace {

std::string upper(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return text;
}

}  // namespace

// NVIDIA's data sheets: T4 (2019), V100 SXM2 (2020), A10 (2021), A100 SXM (2021), L4 and L40S (2023), H100
// SXM (2023), H200 SXM (2024). Figures for sparse matrices, which the newer ones quote, are halved.
const std::vector<GpuSpec>& gpu_specs() {
  static const std::vector<GpuSpec> specs = {
      {"T4", 16, 8.1, 65, 0},         {"V100", 16, 15.7, 125, 0},      {"A10", 24, 31.2, 125, 125},
      {"A100", 40, 19.5, 312, 312},   {"L4", 24, 30.3, 121, 121},      {"L40S", 48, 91.6, 362, 362},
      {"H100", 80, 67, 989.5, 989.5}, {"H200", 141, 67, 989.5, 989.5},
  };
  return specs;
}

std::optional<GpuSpec> find_gpu_spec(const std::string& name) {
  const std::string wanted = upper(name);
  std::optional<GpuSpec> best;
  for (const GpuSpec& spec : gpu_specs()) {
    if (!wanted.starts_with(spec.name)) continue;
    // A10 is not A100, and L4 not L40S; "A10G" is an A10.
    const bool ends = wanted.size() == spec.name.size() ||
                      !std::isdigit(static_cast<unsigned char>(wanted[spec.name.size()]));
    if (ends && (!best || spec.name.size() > best->name.size())) best = spec;
  }
  return best;
}

}  // namespace lockstep
