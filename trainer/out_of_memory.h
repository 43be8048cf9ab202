// Memory that runs out in a training step: how it is known, and what a user is told to lower.
#pragma once

#include <ATen/core/Tensor.h>

#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config/train_config.h"

namespace lockstep {

// Of LibTorch's allocators, the GPU's and the CPU's, and of C++.
bool is_out_of_memory(const std::exception& error);

// What one rank holds whatever the batch, bytes.
struct HeldBytes {
  double weights = 0.0;
  double gradients = 0.0;
  std::optional<double> optimizer;  // none where it cannot be told
};

struct MemoryFacts {
  std::string where;      // "step 12"
  std::string device;     // "cpu", "cuda:0"
  std::string asked_for;  // of the allocator that failed; may be empty
  HeldBytes held;
  bool has_blocks = false;  // --activation-checkpointing would do something
  bool has_tokens = false;  // samples are sequences
  int ranks = 1;
};

// "3.20 GiB", from what an allocator's error says; empty if it does not.
std::string size_asked_for(const std::exception& error);

// One line: what is held, and which options to lower to what.
std::string out_of_memory_advice(const TrainConfig& config, const MemoryFacts& facts);

double total_bytes(const std::vector<at::Tensor>& tensors);

}  // namespace lockstep
