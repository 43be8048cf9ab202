#include "trainer/memory_format.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <torch/nn/module.h>

#include <stdexcept>

namespace lockstep {
namespace {

constexpr std::int64_t kPictureDimensions = 4;

}  // namespace

at::MemoryFormat parse_memory_format(const std::string& name) {
  if (name == "contiguous") return at::MemoryFormat::Contiguous;
  if (name == "channels-last") return at::MemoryFormat::ChannelsLast;
  throw std::invalid_argument("--memory-format " + name +
                              " is unknown; known are contiguous and channels-last");
}

std::int64_t lay_out_weights(torch::nn::Module& model, at::MemoryFormat format) {
  const at::NoGradGuard no_grad;
  std::int64_t weights = 0;
  for (at::Tensor& parameter : model.parameters()) {
    if (parameter.dim() != kPictureDimensions) continue;
    // Not contiguous(), which leaves a 1x1 convolution's strides alone, by which kernels would not know it.
    const at::Tensor before = parameter.detach();
    parameter.set_data(at::empty_like(before, before.options(), format).copy_(before));
    ++weights;
  }
  return weights;
}

at::Tensor laid_out(const at::Tensor& data, at::MemoryFormat format) {
  return data.dim() == kPictureDimensions ? data.contiguous(format) : data;
}

}  // namespace lockstep
