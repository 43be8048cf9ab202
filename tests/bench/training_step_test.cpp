#include "bench/training_step.h"

#include <ATen/ATen.h>
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
  Workload workload{"toy", "mlp", {32}, {1, 4, 4}, 3, 8, 1, 0, 0};
  TrainingStep training(workload, 0);
  EXPECT_EQ(training.data.sizes(), at::IntArrayRef({8, 1, 4, 4}));
  EXPECT_EQ(training.target.sizes(), at::IntArrayRef({8}));
  const at::Tensor before = training.model->parameters()[0].detach().clone();
  training.backward([&](const at::Tensor& data) { return training.model->forward(data); });
  ASSERT_TRUE(training.model->parameters()[0].grad().defined());
  training.optimizer->step();
  EXPECT_FALSE(training.model->parameters()[0].detach().equal(before));
}

TEST(TrainingStep, ModelsOfTokensGetTokensAsTheirDataSetsGiveThem) {
  TrainingStep gpt2({"toy", "gpt2-mini", {}, {1, 28, 28}, 10, 3, 1, 16, 100}, 0);
  EXPECT_EQ(gpt2.data.sizes(), at::IntArrayRef({3, 16}));
  EXPECT_EQ(gpt2.target.sizes(), at::IntArrayRef({3, 16}));
  EXPECT_EQ(gpt2.tokens_per_sample, 16);
  EXPECT_LT(gpt2.data.max().item<std::int64_t>(), 100);
  TrainingStep bert({"toy", "bert-mini", {}, {1, 28, 28}, 10, 3, 1, 16, 100}, 0);
  EXPECT_EQ(bert.data.sizes(), at::IntArrayRef({3, 2, 16}));
  EXPECT_EQ(bert.data.select(1, 1).sum().item<std::int64_t>(), 3 * 8);
  EXPECT_EQ(bert.target.sizes(), at::IntArrayRef({3, 17}));
  EXPECT_EQ(bert.target.narrow(1, 0, 16).ne(-100).sum().item<std::int64_t>(), 3 * 3);  // places 0, 7 and 14
  for (TrainingStep* training : {&gpt2, &bert}) {
    training->backward([&](const at::Tensor& data) { return training->model->forward(data); });
    EXPECT_TRUE(training->model->parameters()[0].grad().defined());
  }
  EXPECT_EQ(TrainingStep::shape_of({"toy", "gpt2-mini", {}, {}, 0, 1, 1, 0, 0}).vocabulary_size, 50257);
  EXPECT_EQ(TrainingStep::shape_of({"toy", "bert-mini", {}, {}, 0, 1, 1, 0, 0}).vocabulary_size, 30522);
  EXPECT_THROW(TrainingStep({"toy", "gpt2-mini", {}, {}, 0, 1, 1, 257, 100}, 0), std::invalid_argument);
}

TEST(TrainingStep, ChannelsLastIsALayoutAndNoOtherModel) {
  const Workload workload{"toy", "convnet", {}, {1, 28, 28}, 10, 4, 1, 0, 0};
  at::manual_seed(3);
  TrainingStep usual(workload, 0);
  at::manual_seed(3);
  TrainingStep last(workload, 0, {.channels_last = true});
  EXPECT_TRUE(last.data.is_contiguous(at::MemoryFormat::ChannelsLast));
  for (const at::Tensor& parameter : last.model->parameters()) {
    EXPECT_TRUE(parameter.dim() != 4 || parameter.is_contiguous(at::MemoryFormat::ChannelsLast));
  }
  const auto loss = [](TrainingStep& step) {
    return step.loss([&](const at::Tensor& data) { return step.model->forward(data); }).item<double>();
  };
  EXPECT_NEAR(loss(usual), loss(last), 1e-5);
}

TEST(TrainingStep, ComputesInBfloat16WhereAskedTo) {
  TrainingStep training({"toy", "mlp", {32}, {1, 4, 4}, 3, 8, 1, 0, 0}, 0,
                        {.precision = Precision::kBf16Mixed});
  at::ScalarType seen = at::kFloat;
  training.backward([&](const at::Tensor& data) {
    const at::Tensor logits = training.model->forward(data);
    seen = logits.scalar_type();
    return logits;
  });
  EXPECT_EQ(seen, at::kBFloat16);
  EXPECT_EQ(training.model->parameters()[0].grad().scalar_type(), at::kFloat);
}

TEST(TrainingStep, RanksSeeOtherData) {
  const Workload workload{"toy", "mlp", {4}, {2}, 3, 8, 1, 0, 0};
  EXPECT_FALSE(TrainingStep(workload, 0).data.equal(TrainingStep(workload, 1).data));
}

TEST(TrainingStep, ModelsThatAreNotThereAreRefused) {
  EXPECT_THROW(TrainingStep({"toy", "resnet81", {}, {3, 64, 64}, 10, 2, 1, 0, 0}, 0), std::invalid_argument);
  EXPECT_THROW(TrainingStep({"toy", "convnet", {}, {784}, 10, 2, 1, 0, 0}, 0), std::invalid_argument);
}

}  // namespace
}  // namespace lockstep
