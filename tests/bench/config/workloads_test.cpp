#include <gtest/gtest.h>

#include <stdexcept>

#include "bench/config/step_config.h"

namespace lockstep {
namespace {

std::vector<std::string> names_of(const std::vector<Workload>& workloads) {
  std::vector<std::string> names;
  for (const Workload& workload : workloads) names.push_back(workload.name);
  return names;
}

TEST(Workloads, AllOrSomeInTheOrderAskedFor) {
  StepConfig config;
  config.workload = "all";
  EXPECT_EQ(names_of(workloads_of(config)),
            (std::vector<std::string>{"mlp-512", "mlp-4096", "resnet18", "resnet50", "gpt2-mini"}));
  config.workload = "resnet50,mlp-512";
  EXPECT_EQ(names_of(workloads_of(config)), (std::vector<std::string>{"resnet50", "mlp-512"}));
}

TEST(Workloads, AModelOfTheUsersOwnReplacesThem) {
  StepConfig config;
  config.model = "mlp";
  config.hidden = "8,4,2";
  config.sample_sizes = "5";
  config.num_classes = 3;
  config.batch_size = 7;
  config.steps = 11;
  const auto workloads = workloads_of(config);
  ASSERT_EQ(workloads.size(), 1u);
  EXPECT_EQ(workloads[0].name, "mlp");
  EXPECT_EQ(workloads[0].hidden, (std::vector<std::int64_t>{8, 4, 2}));
  EXPECT_EQ(workloads[0].sample_sizes, std::vector<std::int64_t>{5});
  EXPECT_EQ(workloads[0].num_classes, 3);
  EXPECT_EQ(workloads[0].batch_size, 7);
  EXPECT_EQ(workloads[0].steps, 11);
  config.model = "convnet";
  EXPECT_TRUE(workloads_of(config)[0].hidden.empty());
}

TEST(Workloads, ModelsOfTokensHaveALengthAndAVocabulary) {
  StepConfig config;
  config.model = "gpt2-mini";
  EXPECT_EQ(workloads_of(config)[0].sequence_length, 0);
  config.sequence_length = 64;
  config.vocabulary_size = 256;
  EXPECT_EQ(workloads_of(config)[0].sequence_length, 64);
  EXPECT_EQ(workloads_of(config)[0].vocabulary_size, 256);
}

TEST(Workloads, StepsOfZeroAreTheWorkloadsOwn) {
  StepConfig config;
  EXPECT_GT(workloads_of(config)[0].steps, 1);
  config.steps = 1;
  EXPECT_EQ(workloads_of(config)[0].steps, 1);
}

TEST(Workloads, UnknownAndEmptyOnesAreRefused) {
  StepConfig config;
  for (const char* name : {"resnet81", "", "all,mlp-512"}) {
    config.workload = name;
    EXPECT_THROW(workloads_of(config), std::invalid_argument) << name;
  }
}

}  // namespace
}  // namespace lockstep
