#include "bench/training_step.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>

#include "trainer/models/models.h"

namespace lockstep {

OptimizerOptions TrainingStep::optimizer_options() {
  OptimizerOptions options;
  options.lr = 0.01;
  options.momentum = 0.9;
  return options;
}

TrainingStep::TrainingStep(const Workload& workload, int rank) {
  const DatasetShape shape{workload.sample_sizes, workload.num_classes};
  model = workload.hidden.empty() ? create_model(workload.model, shape) : create_mlp(shape, workload.hidden);
  optimizer = create_optimizer("sgd", model->parameters(), optimizer_options());
  auto generator = at::detail::createCPUGenerator(static_cast<std::uint64_t>(1000 + rank));
  std::vector<std::int64_t> sizes = {workload.batch_size};
  sizes.insert(sizes.end(), workload.sample_sizes.begin(), workload.sample_sizes.end());
  data = at::randn(sizes, generator);
  target = at::randint(workload.num_classes, {workload.batch_size}, generator,
                       at::TensorOptions().dtype(at::kLong));
}

at::Tensor TrainingStep::loss(const std::function<at::Tensor(const at::Tensor&)>& forward) {
  optimizer->zero_grad();
  return model->loss(forward(data), target);
}

void TrainingStep::backward(const std::function<at::Tensor(const at::Tensor&)>& forward) {
  loss(forward).backward();
}

}  // namespace lockstep
