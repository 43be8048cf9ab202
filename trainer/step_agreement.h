// StepAgreement: the one vote of each step. It carries the decision word and the loss, and hides under the
// backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include "comm/communicator.h"
#include "trainer/decision.h"

namespace lockstep {

struct AgreedStep {
  Decision decision;       // the union of all ranks' votes
  double mean_loss = 0.0;  // over ranks
};

// post() after the forward pass, wait() before the update: by then the vote has had the whole backward pass
// to travel, so that it costs no time of its own. All ranks call both, once a step, in turn.
class StepAgreement {
 public:
  explicit StepAgreement(CommunicatorPtr communicator);

  // `loss` is this rank's, or 0 in a step whose loss nobody reads (on a GPU reading it would stop the host).
  void post(Decision mine, double loss);
  // Blocks until every rank has voted. Throws CommError.
  AgreedStep wait();

 private:
  CommunicatorPtr communicator_;
  at::Tensor ballot_;  // (1 + kDecisionFlagCount) float64 on the CPU: the sum of losses, then the number of
                       // votes per flag
  WorkPtr work_;
};

}  // namespace lockstep
