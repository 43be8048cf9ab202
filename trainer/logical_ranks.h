// LogicalRanks: the ranks that a run counts in, where that is not the number of processes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "comm/communicator.h"

namespace lockstep {

// With --logical-world-size L every process stands for L / W of L ranks, in blocks: rank r of W for the
// logical ranks r * L / W to (r + 1) * L / W - 1. What belongs to a rank (its share of the data, its random
// numbers, its gradient) belongs to a logical one, so that results depend on L and not on W. Without, L is W.
class LogicalRanks {
 public:
  // `world_size` 0: one for each rank. All draw as this process would, until seed(). Throws
  // std::invalid_argument, saying what would do, unless the ranks can share the logical ones evenly.
  LogicalRanks(int world_size, const Communicator& communicator, at::Device device);

  int world_size() const { return world_size_; }
  // This process's are first(), ..., first() + count() - 1.
  int first() const { return first_; }
  int count() const { return count_; }

  // From now on the default generators are those of logical rank first() + index.
  void enter(int index);
  // Each logical rank draws as after torch.manual_seed(seed + rank).
  void seed(std::uint64_t seed);
  // The generators' states of this process's logical ranks, to go back to.
  std::vector<at::Tensor> own_random_states() const;
  void set_own_random_states(const std::vector<at::Tensor>& states);
  // The generators' states of all logical ranks, in rank order, on every rank; a collective.
  std::vector<at::Tensor> gather_random_states(Communicator& communicator);
  // What gather_random_states() returned. Throws DataError if it is not that of so many logical ranks on such
  // a device.
  void set_random_states(const std::vector<at::Tensor>& states);

 private:
  int world_size_;
  int count_;
  int first_;
  at::Device device_;
  int entered_ = 0;
  std::vector<at::Tensor> states_;  // of those that are not entered; empty where there is one only
};

}  // namespace lockstep
