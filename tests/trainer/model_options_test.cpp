#include "trainer/model_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/trainer/config/refusal.h"
#include "trainer/models/models.h"

namespace lockstep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> lines_of(const TrainConfig& config) {
  const bool tokens = token_needs(config.model).sequence_length > 0;
  const DatasetShape pictures = {.sample_sizes = {1, 16, 16}, .num_classes = 4};
  const DatasetShape text = {.sample_sizes = {8}, .sequence_length = 8, .vocabulary_size = 50};
  const auto model = create_model(config.model, tokens ? text : pictures);
  return apply_model_options(config, *model);
}

TEST(ModelOptions, SayWhatTheyDo) {
  TrainConfig config;
  config.model = "resnet18";
  EXPECT_THAT(lines_of(config), ElementsAre());
  config.memory_format = "channels-last";
  config.activation_checkpointing = true;
  EXPECT_THAT(lines_of(config),
              ElementsAre(HasSubstr("20 weights of convolutions"), HasSubstr("activations of 8 blocks")));
}

TEST(ModelOptions, AreRefusedWhereThereIsNothingToDo) {
  TrainConfig config;
  config.model = "convnet";
  config.activation_checkpointing = true;
  expect_refused([&] { lines_of(config); },
                 {"--activation-checkpointing: model convnet has no repeated blocks", "resnet18"});
  config = {};
  config.model = "gpt2-mini";
  config.memory_format = "channels-last";
  expect_refused([&] { lines_of(config); },
                 {"--memory-format channels-last: model gpt2-mini has no convolution", "convnet"});
}

}  // namespace
}  // namespace lockstep
