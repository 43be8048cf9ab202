#include "trainer/evaluation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <vector>

#include "comm/fold.h"
#include "sampler/data_loader.h"
#include "trainer/random_state.h"

namespace lockstep {

Evaluation evaluate(Model& model, const std::shared_ptr<const Dataset>& dataset, Communicator& communicator,
                    LogicalRanks& logical_ranks, const EvaluationOptions& options) {
  const at::NoGradGuard no_grad;
  model.eval();
  DataLoader loader(dataset, {.batch_size = options.batch_size,
                              .num_workers = options.num_workers,
                              .pin_memory = options.device.is_cuda()});
  // By logical rank the sum of losses, correct answers, samples; on the device, so that the host does not
  // wait for each batch.
  const at::Tensor sums = at::zeros({logical_ranks.world_size(), 3},
                                    at::TensorOptions().dtype(at::kDouble).device(options.device));
  for (int index = 0; index < logical_ranks.count(); ++index) {
    const int rank = logical_ranks.first() + index;
    logical_ranks.enter(index);
    draw_data_loader_seed();
    std::vector<std::int64_t> samples;
    for (std::int64_t i = rank; i < dataset->size(); i += logical_ranks.world_size()) samples.push_back(i);
    loader.start_epoch(std::move(samples));
    const at::Tensor own = sums[rank];
    while (const auto batch = loader.next()) {
      const at::Tensor data = batch->data.to(options.device, /*non_blocking=*/true);
      const at::Tensor target = batch->target.to(options.device, /*non_blocking=*/true);
      const AutocastGuard autocast(options.precision, options.device.type());
      const at::Tensor logits = model.forward(data).to(at::kFloat);
      own[0] += at::cross_entropy_loss(logits, target, {}, at::Reduction::Sum).to(at::kDouble);
      own[1] += logits.argmax(1).eq(target).sum().to(at::kDouble);
      own[2] += static_cast<double>(target.size(0));
    }
  }
  model.train();
  // Each row comes from one rank, so that this sum is exact; what decides bits is the next.
  const at::Tensor rows = sums.to(at::kCPU);
  communicator.all_reduce(rows)->wait();
  std::vector<const void*> inputs;
  for (int rank = 0; rank < logical_ranks.world_size(); ++rank) inputs.push_back(rows[rank].const_data_ptr());
  std::array<double, 3> total{};
  void* const into = total.data();
  fold_ranks({&into, 1}, inputs, 0, 3, ring_chunks(3, sizeof(double), logical_ranks.world_size()),
             {.dtype = at::kDouble, .order = communicator.reduction_order()});
  return {total[0] / total[2], total[1] / total[2], static_cast<std::int64_t>(total[2])};
}

}  // namespace lockstep
