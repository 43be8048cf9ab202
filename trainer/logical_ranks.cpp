#include "trainer/logical_ranks.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <stdexcept>
#include <string>

#include "sampler/data_error.h"
#include "trainer/random_state.h"

namespace lockstep {
namespace {

std::string numbers_of_ranks_for(int logical) {
  std::string list;
  for (int ranks = 1; ranks <= logical; ++ranks) {
    if (logical % ranks == 0) list += (list.empty() ? "" : ", ") + std::to_string(ranks);
  }
  return list;
}

}  // namespace

LogicalRanks::LogicalRanks(int world_size, const Communicator& communicator, at::Device device)
    : world_size_(world_size == 0 ? communicator.world_size() : world_size),
      count_(world_size_ / communicator.world_size()),
      first_(communicator.rank() * count_),
      device_(device) {
  if (world_size_ % communicator.world_size() != 0) {
    throw std::invalid_argument("--logical-world-size " + std::to_string(world_size_) +
                                " cannot be shared by " + std::to_string(communicator.world_size()) +
                                " ranks; start " + numbers_of_ranks_for(world_size_));
  }
  if (count_ > 1) states_.assign(static_cast<std::size_t>(count_), random_state(device_));
}

void LogicalRanks::enter(int index) {
  if (index == entered_) return;
  states_[static_cast<std::size_t>(entered_)] = random_state(device_);
  set_random_state(states_[static_cast<std::size_t>(index)], device_);
  entered_ = index;
}

void LogicalRanks::seed(std::uint64_t seed) {
  for (int index = count_ - 1; index >= 0; --index) {
    seed_everything(seed + static_cast<std::uint64_t>(first_ + index));
    if (count_ > 1) states_[static_cast<std::size_t>(index)] = random_state(device_);
  }
  entered_ = 0;
}

std::vector<at::Tensor> LogicalRanks::own_random_states() const {
  std::vector<at::Tensor> mine;
  for (int index = 0; index < count_; ++index)
    mine.push_back(index == entered_ ? random_state(device_) : states_[static_cast<std::size_t>(index)]);
  return mine;
}

void LogicalRanks::set_own_random_states(const std::vector<at::Tensor>& states) {
  for (int index = count_ - 1; index >= 0; --index) {
    const at::Tensor& state = states[static_cast<std::size_t>(index)];
    set_random_state(state, device_);
    if (count_ > 1) states_[static_cast<std::size_t>(index)] = state;
  }
  entered_ = 0;
}

std::vector<at::Tensor> LogicalRanks::gather_random_states(Communicator& communicator) {
  const std::vector<at::Tensor> mine = own_random_states();
  const std::int64_t bytes = mine.front().numel();
  const at::Tensor all = at::empty({world_size_, bytes}, mine.front().options());
  communicator.all_gather(all, at::cat(mine))->wait();
  std::vector<at::Tensor> states;
  for (int rank = 0; rank < world_size_; ++rank) states.push_back(all[rank].clone());
  return states;
}

void LogicalRanks::set_random_states(const std::vector<at::Tensor>& states) {
  if (states.size() != static_cast<std::size_t>(world_size_)) {
    throw DataError("checkpoint: random states of " + std::to_string(states.size()) + " ranks, not of " +
                    std::to_string(world_size_));
  }
  set_own_random_states({states.begin() + first_, states.begin() + first_ + count_});
}

}  // namespace lockstep
