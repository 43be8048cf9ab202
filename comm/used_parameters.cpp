#include "comm/used_parameters.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <utility>

namespace lockstep {

UsedParameters::UsedParameters(std::size_t parameters)
    : here_(at::zeros({static_cast<std::int64_t>(parameters)}, at::TensorOptions().dtype(at::kInt))),
      anywhere_(at::zeros_like(here_)) {}

void UsedParameters::mark(std::size_t parameter) {
  here_.mutable_data_ptr<int>()[parameter] = 1;
}

void UsedParameters::begin_exchange(Communicator& communicator) {
  anywhere_.copy_(here_);
  here_.zero_();
  work_ = communicator.all_reduce(anywhere_, ReduceOp::kMax);
}

void UsedParameters::wait() {
  std::exchange(work_, nullptr)->wait();
}

bool UsedParameters::anywhere(std::size_t parameter) const {
  return anywhere_.const_data_ptr<int>()[parameter] != 0;
}

}  // namespace lockstep
