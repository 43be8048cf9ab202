// Snapshot: a copy of a run's tensors that training may overtake while it is written.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <unordered_map>

namespace lockstep {

// Holds CPU memory from one save to the next (pinned for tensors of a GPU), so that only the first save pays
// for getting it. A copy is overwritten by the next one under the same key: whoever reads it must be done by
// then. Not thread-safe.
class Snapshot {
 public:
  // A contiguous copy of `tensor`, complete on return, in memory of its own even where `tensor` lies in
  // memory that ranks share.
  at::Tensor copy(const std::string& key, const at::Tensor& tensor);

 private:
  std::unordered_map<std::string, at::Tensor> kept_;
};

// Whether no element is NaN or infinite: on the CPU in one pass at the speed of memory for contiguous float32
// and float64, elsewhere as ATen does it. Integers are.
bool all_finite(const at::Tensor& tensor);

}  // namespace lockstep
