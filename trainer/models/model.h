// Model: what the trainer trains, with the loss that it is trained on.
#pragma once

#include <torch/nn/module.h>

#include <string>

#include "sampler/dataset.h"

namespace lockstep {

// A module with one input and one output, so that trainer and bench need not know which. By default a
// classifier of B samples into C classes; what else there is (language models) overrides loss() and score().
// Batch norms are lockstep::SyncBatchNorm (comm/sync_batch_norm.h), which --sync-batchnorm can synchronise.
class Model : public torch::nn::Module {
 public:
  // `data` (B, ...) as the data set gives it, on the parameters' device; returns logits, of a classifier
  // (B, C).
  virtual at::Tensor forward(at::Tensor data) = 0;

  // What training minimises: a float32 scalar, from what forward() returned and the data set's target. By
  // default the cross entropy of float32 logits, the mean over the samples.
  virtual at::Tensor loss(const at::Tensor& output, const at::Tensor& target) const;

  // What evaluation adds up over the batches: one row for each head with the sum of the losses, the number of
  // right answers and the number of answers that count; (num_heads(), 3) float64 on the output's device. The
  // heads' mean losses add up to the model's loss; its accuracy is the first head's.
  virtual at::Tensor score(const at::Tensor& output, const at::Tensor& target) const;
  virtual std::int64_t num_heads() const { return 1; }

  // What it changed about itself to fit the data, for the trainer to print: "conv1 takes 1 channel, fc2 gives
  // 10 classes". One line without a full stop; empty if nothing.
  virtual std::string adaptation() const { return {}; }
};

// One head's row of Model::score(): logits (N, C), target (N), of which -100 does not count; (3) float64.
at::Tensor classification_score(const at::Tensor& logits, const at::Tensor& target);

}  // namespace lockstep
