// FlopCounter: the floating-point operations of a forward pass, from the shapes of its matrix products and
// convolutions, as torch.utils.flop_counter counts them.
#pragma once

#include <ATen/record_function.h>

namespace lockstep {

// Counts what this thread runs while it lives; one at a time per thread. A product's addition and
// multiplication are two operations; what is done element by element is none.
class FlopCounter {
 public:
  FlopCounter();
  ~FlopCounter();
  FlopCounter(const FlopCounter&) = delete;
  FlopCounter& operator=(const FlopCounter&) = delete;

  double flop() const;

 private:
  at::CallbackHandle handle_;
};

}  // namespace lockstep
