// Evaluation: loss and accuracy of a model on a data set that the ranks share.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "comm/communicator.h"
#include "sampler/dataset.h"
#include "trainer/models/model.h"
#include "trainer/precision.h"

namespace lockstep {

struct Evaluation {
  double loss = 0.0;      // cross entropy, the mean over all answers (samples, or tokens to predict)
  double accuracy = 0.0;  // in [0, 1], of the first head's answers
  std::int64_t samples = 0;
};

struct EvaluationOptions {
  std::int64_t batch_size = 256;  // per rank
  int num_workers = 1;
  Precision precision = Precision::k32True;
  at::Device device = at::kCPU;
};

// Rank r takes samples r, r + W, r + 2 W, ...: every sample counts once, whatever the numbers; a collective.
// Leaves the model in training mode. All ranks' buffers should be equal before.
Evaluation evaluate(Model& model, const std::shared_ptr<const Dataset>& dataset, Communicator& communicator,
                    const EvaluationOptions& options);

}  // namespace lockstep
