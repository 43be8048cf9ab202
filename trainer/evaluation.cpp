#include "trainer/evaluation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/argmax.h>
#include <ATen/ops/cross_entropy_loss.h>
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

  // On the device, so that the host does not wait for each batch: the sum of losses, correct answers,
  // samples.
  const auto doubles = at::TensorOptions().dtype(at::kDouble);
  const at::Tensor sums = at::zeros({3}, doubles.device(options.device));
  while (const auto batch = loader.next()) {
    const at::Tensor data = batch->data.to(options.device, /*non_blocking=*/true);
    const at::Tensor target = batch->target.to(options.device, /*non_blocking=*/true);
    const AutocastGuard autocast(options.precision, options.device.type());
    const at::Tensor logits = model.forward(data).to(at::kFloat);
    sums[0] += at::cross_entropy_loss(logits, target, {}, at::Reduction::Sum).to(at::kDouble);
    sums[1] += logits.argmax(1).eq(target).sum().to(at::kDouble);
    sums[2] += static_cast<double>(target.size(0));
  }
  model.train();
  const at::Tensor total = sums.to(at::kCPU);
  communicator.all_reduce(total)->wait();
  const double* values = total.const_data_ptr<double>();
  return {values[0] / values[2], values[1] / values[2], static_cast<std::int64_t>(values[2])};
}

}  // namespace lockstep
