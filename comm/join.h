// What ranks tell each other in DistributedDataParallel::join(), where some have run out of inputs.
#pragma once

#include <optional>

#include "comm/communicator.h"

namespace torch::nn {
class Module;
}

namespace lockstep {

// The forward pass that a rank is about to run.
struct ForwardPass {
  bool with_gradients = false;
  bool synchronize = false;  // its backward pass averages gradients
};

// `mine` is none on a rank that has run out of inputs. A collective. The result is the pass of the ranks that
// have not, and the largest of those ranks; none if there is no such rank.
struct AgreedPass {
  ForwardPass pass;
  int rank = 0;
};
std::optional<AgreedPass> agree_on_pass(const std::optional<ForwardPass>& mine, Communicator& communicator);

// The largest rank whose `candidate` is true: the one that all take the final state from. A collective.
int agree_on_rank(bool candidate, Communicator& communicator);

// Throws std::invalid_argument if `module` communicates in its forward pass (a synchronised SyncBatchNorm),
// which ranks without inputs cannot take part in.
void check_can_join(torch::nn::Module& module);

}  // namespace lockstep
