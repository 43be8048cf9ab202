#include "bench/training_step.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "bench/config/step_config.h"

namespace lockstep {
namespace {

std::int64_t parameter_count(const Workload& workload) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : TrainingStep(workload, 0).model->parameters())
    count += parameter.numel();
  return count;
}

TEST(TrainingStep, TheNamedWorkloadsAreTheModelsThatTheyName) {
  const auto& workloads = named_workloads();
  EXPECT_EQ(parameter_count(workloads[0]), 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10);
  EXPECT_EQ(parameter_count(workloads[1]), 784 * 4096 + 4096 + 4096 * 4096 + 4096 + 4096 * 10 + 10);
  EXPECT_EQ(parameter_count(workloads[2]), 11'689'512);  // torchvision's documentation
  EXPECT_EQ(parameter_count(workloads[3]), 25'557'032);
}

TEST(TrainingStep, HasTheBatchOfTheWorkloadAndLearnsIt) {
  Workload workload{"toy", "mlp", {32}, {1, 4, 4}, 3, 8, 1};
  TrainingStep training(workload, 0);
  EXPECT_EQ(training.data.sizes(), at::IntArrayRef({8, 1, 4, 4}));
  EXPECT_EQ(training.target.sizes(), at::IntArrayRef({8}));
  const at::Tensor before = training.model->parameters()[0].detach().clone();
  training.backward([&](const at::Tensor& data) { return training.model->forward(data); });
  ASSERT_TRUE(training.model->parameters()[0].grad().defined());
  training.optimizer->step();
  EXPECT_FALSE(training.model->parameters()[0].detach().equal(before));
}

TEST(TrainingStep, RanksSeeOtherData) {
  const Workload workload{"toy", "mlp", {4}, {2}, 3, 8, 1};
  EXPECT_FALSE(TrainingStep(workload, 0).data.equal(TrainingStep(workload, 1).data));
}

TEST(TrainingStep, ModelsThatAreNotThereAreRefused) {
  EXPECT_THROW(TrainingStep({"toy", "resnet81", {}, {3, 64, 64}, 10, 2, 1}, 0), std::invalid_argument);
  EXPECT_THROW(TrainingStep({"toy", "convnet", {}, {784}, 10, 2, 1}, 0), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
