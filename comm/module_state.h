// A module's parameters and buffers as plain lists, and their way from rank 0 to everybody.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"

namespace torch::nn {
class Module;
}

namespace lockstep {

// In registration order, as named_parameters() and buffers() give them.
std::vector<std::pair<std::string, at::Tensor>> module_parameters(const torch::nn::Module& module);
std::vector<at::Tensor> module_buffers(const torch::nn::Module& module);

// Every rank's `tensors` become those of `root`: packed by dtype and device into few broadcasts. Blocks until
// done.
void broadcast_tensors(const std::vector<at::Tensor>& tensors, Communicator& communicator, int root = 0);

// Rank 0's parameters and buffers on every rank. Throws CommError, naming the rank and the first difference,
// if ranks have tensors of other names, shapes or dtypes.
void broadcast_module_state(torch::nn::Module& module, Communicator& communicator);

}  // namespace lockstep
