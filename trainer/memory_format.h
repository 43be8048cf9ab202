// How pictures and the weights of convolutions lie in memory (--memory-format).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace torch::nn {
class Module;
}

namespace lockstep {

// "contiguous" or "channels-last". Throws std::invalid_argument for others.
at::MemoryFormat parse_memory_format(const std::string& name);

// Gives the model's parameters of four dimensions, the weights of convolutions, that format, without a change
// to their values; returns how many there are. Before gradients, buckets and optimizers are made, which
// follow it.
std::int64_t lay_out_weights(torch::nn::Module& model, at::MemoryFormat format);

// `data` (B, ...), a model's input, in that format if it has four dimensions.
at::Tensor laid_out(const at::Tensor& data, at::MemoryFormat format);

}  // namespace lockstep
