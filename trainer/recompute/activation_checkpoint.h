// Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): a backward pass that computes again what the
// forward pass did not keep.
//
//   x = lockstep::checkpoint([&](const auto& inputs) { return block->forward(inputs[0]); }, {x},
//                            block->buffers());
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace lockstep {

// Computes a tensor from tensors. It is called twice and has to do the same both times, and must neither
// change its inputs nor run a backward pass itself.
using CheckpointedFunction = std::function<at::Tensor(const std::vector<at::Tensor>& inputs)>;

// Returns function(inputs). Of what autograd would keep of it for the backward pass only the inputs stay;
// the backward pass calls `function` again when it first needs the rest. The graph is the one that it would
// have been, so that gradients come in the same order, with the same bits, and hooks on parameters run once:
// DistributedDataParallel overlaps its reductions as ever. (PyTorch's checkpoint() with use_reentrant=False.)
//
// The second call finds what the first one found: the default generators of the CPU and of the inputs' GPU,
// so that dropout draws the same masks, and autocast. What it does to the generators and to `buffers`
// (BatchNorm's running statistics, which PyTorch's checkpoint() updates twice) is undone. A SyncBatchNorm
// communicates in both calls, on every rank alike.
//
// Without gradients, and within another checkpoint(), which computes all of it again anyway, it is a call of
// `function` and no more. The backward pass throws std::runtime_error if `function` changes its inputs or
// does not do the same again. The first checkpoint() of a process gives LibTorch an autograd engine that can
// ask for this; where somebody else has done so (Python), it throws std::runtime_error.
at::Tensor checkpoint(const CheckpointedFunction& function, const std::vector<at::Tensor>& inputs,
                      const std::vector<at::Tensor>& buffers = {});

// Whether this thread is in the second call of a function.
bool is_recomputing();

}  // namespace lockstep
