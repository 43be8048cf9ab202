// Memory that runs out in a training step: how it is known, and what a user is told to lower.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config/train_config.h"
#include "trainer/device_memory.h"

namespace lockstep {

// Of LibTorch's allocators, the GPU's and the CPU's, and of C++.
bool is_out_of_memory(const std::exception& error);

// What one rank holds whatever the batch, bytes.
struct HeldBytes {
  double weights = 0.0;
  double gradients = 0.0;
  std::optional<double> optimizer;  // none where it cannot be told
};

// Of a step for which a GPU had no room, bytes.
struct MemoryShortage {
  FailedAllocation at;             // when it failed
  double kept = 0.0;               // allocated once the step's own tensors are gone: what any batch needs
  double optimizer_to_come = 0.0;  // which the optimizer takes in its first step
  bool whole_forward = false;      // a forward pass has ended, so that what it keeps has been measured
};

struct MemoryFacts {
  std::string where;      // "step 12"
  std::string device;     // "cpu", "cuda:0"
  std::string asked_for;  // of the allocator that failed; may be empty
  HeldBytes held;
  std::optional<MemoryShortage> shortage = {};  // where LibTorch's allocator of a GPU has measured it
  bool has_blocks = false;                      // --activation-checkpointing would do something
  bool has_tokens = false;                      // samples are sequences
  int ranks = 1;
};

// "3.20 GiB", from what an allocator's error says; empty if it does not.
std::string size_asked_for(const std::exception& error);

// What the optimizer of `config` comes to hold for parameters of `parameter_bytes`.
double optimizer_bytes(const TrainConfig& config, double parameter_bytes);

// What there is for activations; below 0 where the rest is too large.
double room_for_activations(const MemoryShortage& shortage);
// Whether there was enough memory, but not in one piece.
bool is_fragmented(const MemoryShortage& shortage);
// Of the `batch_size` samples that did not fit, how many do, as activations grow with their number; 0: none.
std::int64_t batch_that_fits(std::int64_t batch_size, const MemoryShortage& shortage);

// An optimizer step of one rank.
struct StepSamples {
  std::int64_t batch_size = 1;
  std::int64_t accumulate_grad_batches = 1;
  std::int64_t samples() const { return batch_size * accumulate_grad_batches; }
};
// `samples` in batches of at most `largest_batch`: exactly so many where equal batches not below half of that
// make them up, else as nearly as the fewest batches do. All are above 0.
StepSamples split_step(std::int64_t samples, std::int64_t largest_batch);

// One line: what is held, and which options to lower to what.
std::string out_of_memory_advice(const TrainConfig& config, const MemoryFacts& facts);

double total_bytes(const std::vector<at::Tensor>& tensors);

}  // namespace lockstep
