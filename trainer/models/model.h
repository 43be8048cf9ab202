// Model: what the trainer trains. A classifier of B samples into C classes.
#pragma once

#include <torch/nn/module.h>

#include <string>

#include "sampler/dataset.h"

namespace lockstep {

// A module with one input and one output, so that trainer and bench need not know which. Batch norms are
// lockstep::SyncBatchNorm (comm/sync_batch_norm.h), which --sync-batchnorm can synchronise.
class Model : public torch::nn::Module {
 public:
  // `data` (B, ...) as the data set gives it, on the parameters' device; returns logits (B, num_classes).
  virtual at::Tensor forward(at::Tensor data) = 0;
  // What it changed about itself to fit the data, for the trainer to print: "conv1 takes 1 channel, fc2 gives
  // 10 classes". One line without a full stop; empty if nothing.
  virtual std::string adaptation() const { return {}; }
};

}  // namespace lockstep
