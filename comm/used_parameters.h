// UsedParameters: which parameters got a gradient, here and on any rank.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>

#include "comm/communicator.h"

namespace lockstep {

// Between two exchanges parameters are marked as they get gradients; all ranks exchange together.
class UsedParameters {
 public:
  explicit UsedParameters(std::size_t parameters);

  void mark(std::size_t parameter);
  // Tells the other ranks, begins anew, and returns at once; wait() blocks until all have told.
  void begin_exchange(Communicator& communicator);
  void wait();
  // As of the last exchange.
  bool anywhere(std::size_t parameter) const;

 private:
  at::Tensor here_;      // (parameters) int32: 1 if used since the last exchange
  at::Tensor anywhere_;  // likewise, by any rank before the last exchange
  WorkPtr work_;
};

}  // namespace lockstep
