#include "trainer/evaluation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>

#include <vector>

#include "sampler/data_loader.h"
#include "trainer/random_state.h"

namespace lockstep {

Evaluation evaluate(Model& model, const std::shared_ptr<const Dataset>& dataset, Communicator& communicator,
                    const EvaluationOptions& options) {
  const at::NoGradGuard no_grad;
  model.eval();
  DataLoader loader(dataset, {.batch_size = options.batch_size,
                              .num_workers = options.num_workers,
                              .pin_memory = options.device.is_cuda()});
  std::vector<std::int64_t> indices;
  for (std::int64_t i = communicator.rank(); i < dataset->size(); i += communicator.world_size())
    indices.push_back(i);
  draw_data_loader_seed();
  loader.start_epoch(std::move(indices));

  // On the device, so that the host does not wait for each batch.
  const auto doubles = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor sums = at::zeros({model.num_heads(), 3}, doubles.device(options.device));
  while (const auto batch = loader.next()) {
    const at::Tensor data = batch->data.to(options.device, /*non_blocking=*/true);
    const at::Tensor target = batch->target.to(options.device, /*non_blocking=*/true);
    const AutocastGuard autocast(options.precision, options.device.type());
    sums += model.score(model.forward(data), target);
  }
  model.train();
  const at::Tensor total = sums.to(at::kCPU);
  communicator.all_reduce(total)->wait();
  const auto row = total.accessor<double, 2>();
  Evaluation evaluation{.accuracy = row[0][1] / row[0][2], .samples = dataset->size()};
  for (std::int64_t head = 0; head < row.size(0); ++head) evaluation.loss += row[head][0] / row[head][2];
  return evaluation;
}

}  // namespace lockstep
