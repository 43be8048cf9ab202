// Evaluation: loss and accuracy of a model on a data set that the ranks share.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "comm/communicator.h"
#include "sampler/dataset.h"
#include "trainer/logical_ranks.h"
#include "trainer/models/model.h"
#include "trainer/precision.h"

namespace lockstep {

struct Evaluation {
  double loss = 0.0;      // cross entropy, the mean over all answers (samples, or tokens to predict)
  double accuracy = 0.0;  // in [0, 1], of the first head's answers
  std::int64_t samples = 0;
  bool abandoned = false;  // the rest then says nothing
};

struct EvaluationOptions {
  std::int64_t batch_size = 256;  // per rank
  int num_workers = 1;
  Precision precision = Precision::k32True;
  at::Device device = at::kCPU;
  at::MemoryFormat memory_format = at::MemoryFormat::Contiguous;  // of pictures
  // On all ranks or on none. Called after each batch, on this rank; true on any rank abandons the evaluation
  // on all of them, which agree on that every kBatchesPerVote batches.
  std::function<bool()> wants_to_stop = {};
  static constexpr std::int64_t kBatchesPerVote = 4;
};

// Logical rank r of L takes samples r, r + L, r + 2 L, ...: every sample counts once, whatever the numbers,
// and the result has the same bits on any number of ranks; a collective. Leaves the model in training mode.
// All ranks' buffers should be equal before.
Evaluation evaluate(Model& model, const std::shared_ptr<const Dataset>& dataset, Communicator& communicator,
                    LogicalRanks& logical_ranks, const EvaluationOptions& options);

}  // namespace lockstep
