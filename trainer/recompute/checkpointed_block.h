// CheckpointedBlock: a repeated part of a model, whose activations may be computed again.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>

namespace lockstep {

// A module of one input and one output. Until checkpoint_blocks() has seen it, it is an ordinary module, and
// after that it computes the same bits. Not within another one: the outer one computes all of it again.
class CheckpointedBlock : public torch::nn::Module {
 public:
  at::Tensor forward(at::Tensor x);

 protected:
  // What the block does; called twice, see checkpoint() in trainer/recompute/activation_checkpoint.h.
  virtual at::Tensor compute(const at::Tensor& x) = 0;

 private:
  friend std::int64_t checkpoint_blocks(torch::nn::Module& module);
  bool checkpointed_ = false;
};

// Whether there is any in `module`'s tree.
bool has_blocks(const torch::nn::Module& module);

// From now on every CheckpointedBlock in `module`'s tree keeps only its input for the backward pass. Returns
// how many there are.
std::int64_t checkpoint_blocks(torch::nn::Module& module);

}  // namespace lockstep
