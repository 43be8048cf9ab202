#include "comm/join.h"

#include <ATen/ops/empty.h>

#include <stdexcept>

#include "comm/sync_batch_norm.h"

namespace lockstep {

std::optional<AgreedPass> agree_on_pass(const std::optional<ForwardPass>& mine, Communicator& communicator) {
  const at::Tensor votes = at::empty({3}, at::TensorOptions().dtype(at::kInt));
  auto* vote = votes.mutable_data_ptr<int>();
  vote[0] = mine ? communicator.rank() : -1;
  vote[1] = mine && mine->with_gradients ? 1 : 0;
  vote[2] = mine && mine->synchronize ? 1 : 0;
  communicator.all_reduce(votes, ReduceOp::kMax)->wait();
  if (vote[0] < 0) return std::nullopt;
  return AgreedPass{.pass = {.with_gradients = vote[1] > 0, .synchronize = vote[2] > 0}, .rank = vote[0]};
}

int agree_on_rank(bool candidate, Communicator& communicator) {
  const at::Tensor rank = at::empty({1}, at::TensorOptions().dtype(at::kInt));
  rank.mutable_data_ptr<int>()[0] = candidate ? communicator.rank() : -1;
  communicator.all_reduce(rank, ReduceOp::kMax)->wait();
  return rank.const_data_ptr<int>()[0];
}

void check_can_join(torch::nn::Module& module) {
  const auto check = [](const std::string& name, const torch::nn::Module& visited) {
    const auto* norm = dynamic_cast<const SyncBatchNormImpl*>(&visited);
    if (norm == nullptr || !norm->is_synchronized()) return;
    throw std::invalid_argument(
        "join(): " + name +
        " is a synchronised SyncBatchNorm, which a rank without inputs cannot take part "
        "in; give it no communicator, or even inputs to all ranks");
  };
  check("the module itself", module);
  for (const auto& item : module.named_modules("", /*include_self=*/false)) check(item.key(), *item.value());
}

}  // namespace lockstep
