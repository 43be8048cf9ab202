// StepAgreement: the one vote of each step. It carries the decision word and the loss, and hides under the
// backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>

#include "comm/communicator.h"
#include "trainer/decision.h"

namespace lockstep {

struct AgreedStep {
  Decision decision;       // the union of all ranks' votes
  double mean_loss = 0.0;  // over logical ranks
  int first_bad_rank = 0;  // the first logical rank whose loss is not finite; their number if all are
};

// post() after the forward pass, wait() before the update: by then the vote has had the whole backward pass
// to travel, so that it costs no time of its own. All ranks call both, once a step, in turn.
class StepAgreement {
 public:
  // `ranks` logical ranks, of which this rank's begin at `first`.
  StepAgreement(CommunicatorPtr communicator, int ranks, int first);

  // `losses` are those of this rank's logical ranks, or zeros in a step whose losses nobody reads (on a GPU
  // reading them would stop the host).
  void post(Decision mine, std::span<const double> losses);
  // Blocks until every rank has voted. Throws CommError.
  AgreedStep wait();

 private:
  CommunicatorPtr communicator_;
  const int ranks_;
  const int first_;
  at::Tensor ballot_;  // (ranks + kDecisionFlagCount) float64 on the CPU: the losses, each from one rank and
                       // 0 from the others, then the number of votes per flag
  const at::Tensor losses_;  // (ranks, 1), its first part
  const at::Tensor sum_;     // (1)
  WorkPtr work_;
};

}  // namespace lockstep
