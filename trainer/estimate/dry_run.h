// A dry run: a few steps of the model on the CPU with two small batches, from which memory and arithmetic of
// any batch follow.
#pragma once

#include <cstdint>

#include "sampler/dataset.h"
#include "trainer/config/train_config.h"
#include "trainer/estimate/step_memory.h"

namespace lockstep {

struct DryRun {
  std::int64_t num_parameters = 0;
  StepMemory memory;  // of a rank that has the whole optimizer to itself
  // Of a training step: the forward pass' matrix products and convolutions, twice that for the backward pass,
  // and what that one computes again with activation checkpointing.
  double flops_per_sample = 0.0;
  // What this process took beyond the tensors that were counted: the program, LibTorch's kernels and the
  // data.
  double overhead_bytes = 0.0;
  // And by how much that grows with each sample of a batch, on the CPU: convolutions reorder what they take.
  double kernels_per_sample = 0.0;
  double kernels_per_evaluated_sample = 0.0;
};

// Seeds and builds the model as a run would, and trains it for a few steps on `data`'s first samples, with
// batches up to the run's own where they take no time to speak of. Counts every allocation of LibTorch's CPU
// allocator. Throws std::invalid_argument for a model or optimizer that cannot be.
DryRun dry_run(const TrainConfig& config, const Dataset& data);

}  // namespace lockstep
