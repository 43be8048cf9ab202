// StepAgreement: the one vote of each step. It carries the decision word and the loss, and hides under the
// backward pass.
#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <vector>

#include "comm/communicator.h"
#include "trainer/decision.h"

namespace lockstep {

struct AgreedStep {
  Decision decision;       // the union of all ranks' votes
  double mean_loss = 0.0;  // over logical ranks
  int first_bad_rank = 0;  // the first logical rank whose loss is not finite; their number if all are
  std::vector<double> fingerprints;  // by rank, where they differ (kDrift then); else empty
};

// post() after the forward pass, wait() before the update: by then the vote has had the whole backward pass
// to travel, so that it costs no time of its own. All ranks call both, once a step, in turn.
class StepAgreement {
 public:
  // `ranks` logical ranks, of which this rank's begin at `first`.
  StepAgreement(CommunicatorPtr communicator, int ranks, int first);

  // `losses` are those of this rank's logical ranks, or zeros in a step whose losses nobody reads (on a GPU
  // reading them would stop the host). `fingerprint`: of what has to be equal on all ranks, a whole number
  // above 0 and below 2^53, on all of them in the same steps; 0: none.
  void post(Decision mine, std::span<const double> losses, double fingerprint = 0.0);
  // Blocks until every rank has voted. Throws CommError.
  AgreedStep wait();

 private:
  CommunicatorPtr communicator_;
  const int ranks_;
  const int first_;
  at::Tensor
      ballot_;  // (ranks + kDecisionFlagCount + processes) float64 on the CPU: the losses, each from one
                // rank and 0 from the others, the number of votes per flag, and each process's fingerprint
  const at::Tensor losses_;  // (ranks, 1), its first part
  const at::Tensor sum_;     // (1)
  WorkPtr work_;
};

}  // namespace lockstep
