// Files that PyTorch has written (tests/reference/python_checkpoints.py).
#include "trainer/exchange/python_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"
#include "tests/reference/reference_file.h"

namespace lockstep {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void expect_model(const PythonCheckpoint& checkpoint, std::size_t tensors) {
  const auto expected = read_reference("expected.safetensors");
  EXPECT_EQ(checkpoint.model.size(), tensors);
  for (const auto& [name, tensor] : checkpoint.model) {
    ASSERT_TRUE(expected.contains("model." + name)) << name;
    EXPECT_TRUE(same_bits(tensor, expected.at("model." + name))) << name;
  }
}

void expect_optimizer(const PythonCheckpoint& checkpoint) {
  const auto expected = read_reference("expected.safetensors");
  EXPECT_EQ(checkpoint.step, 3);
  EXPECT_EQ(checkpoint.optimizer.size(), 4U * 3);  // weight and bias of two layers; step and two moments
  for (const OptimizerStateEntry& entry : checkpoint.optimizer) {
    const std::string name = "optimizer." + std::to_string(entry.parameter_index) + "." + entry.name;
    ASSERT_TRUE(expected.contains(name)) << name;
    EXPECT_TRUE(same_bits(entry.value, expected.at(name))) << name;
  }
  ASSERT_TRUE(checkpoint.param_group);
  EXPECT_EQ(checkpoint.param_group->lr, 0.02);
  EXPECT_EQ(checkpoint.param_group->beta1, 0.8);
  EXPECT_EQ(checkpoint.param_group->beta2, 0.95);
  EXPECT_EQ(checkpoint.param_group->eps, 1e-8);
  EXPECT_EQ(checkpoint.param_group->weight_decay, 0.1);
  EXPECT_FALSE(checkpoint.param_group->momentum);
}

TEST(PythonCheckpointTest, WeightsInEveryForm) {
  for (const char* file : {"state_dict.pt", "dict.pt", "module.pt", "module.safetensors"}) {
    SCOPED_TRACE(file);
    const PythonCheckpoint checkpoint = read_python_checkpoint(reference_path(file));
    expect_model(checkpoint, 7);
    EXPECT_EQ(checkpoint.step, 0);
    EXPECT_FALSE(checkpoint.param_group);
  }
  expect_model(read_python_checkpoint(reference_path("parameters.pt")), 4);
}

TEST(PythonCheckpointTest, TheOptimizerTheStepAndTheRandomStates) {
  const PythonCheckpoint whole = read_python_checkpoint(reference_path("whole.pt"));
  expect_model(whole, 7);
  expect_optimizer(whole);
  ASSERT_EQ(whole.random_states.size(), 2U);
  EXPECT_TRUE(same_bits(whole.random_states[1], read_reference("expected.safetensors").at("random_state")));
  EXPECT_TRUE(whole.unused.empty());

  const PythonCheckpoint other = read_python_checkpoint(reference_path("other_names.pt"));
  expect_model(other, 7);
  expect_optimizer(other);
  EXPECT_THAT(other.unused, ElementsAre("note"));

  const PythonCheckpoint sgd = read_python_checkpoint(reference_path("sgd.pt"));
  EXPECT_TRUE(sgd.optimizer.empty());
  EXPECT_EQ(sgd.param_group->momentum, 0.0);
  EXPECT_EQ(sgd.param_group->nesterov, false);
}

std::string refusal(const std::string& file) {
  try {
    read_python_checkpoint(reference_path(file));
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(PythonCheckpointTest, NamesWhatAFileWantsThatIsNoData) {
  EXPECT_THAT(refusal("namespace.pt"), AllOf(HasSubstr("namespace.pt"), HasSubstr("argparse.Namespace")));
  EXPECT_THAT(refusal("module_object.pt"), HasSubstr("torch.nn.modules.container.Sequential"));
  EXPECT_THAT(refusal("device.pt"), HasSubstr("torch.device"));
}

TEST(PythonCheckpointTest, SaysWhatIsWrongWithTheContent) {
  EXPECT_THAT(refusal("epoch_inside.pt"), HasSubstr("its model holds other things than tensors: epoch"));
  EXPECT_THAT(refusal("no_model.pt"), HasSubstr("neither a state_dict() nor a dict that holds one"));
  EXPECT_THAT(refusal("no_optimizer.pt"), HasSubstr("no state_dict() of torch.optim"));
  EXPECT_THAT(refusal("groups.pt"), HasSubstr("4 param_groups"));
  EXPECT_THAT(refusal("amsgrad.pt"), HasSubstr("amsgrad=True"));
  EXPECT_THAT(refusal("step.pt"), HasSubstr("its step is no whole number from 0"));
  EXPECT_THAT(refusal("missing.pt"), HasSubstr("missing.pt"));
}

}  // namespace
}  // namespace lockstep
