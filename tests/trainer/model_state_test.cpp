#include "trainer/model_state.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sampler/data_error.h"

namespace lockstep {
namespace {

std::vector<std::string> names_of(const NamedTensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  return names;
}

const NamedTensors kState = {{"transformer.wte.weight", at::arange(6).view({3, 2})},
                             {"transformer.wpe.weight", at::ones({2})}};

TEST(SharedNames, AreAddedForPythonAndDroppedAgain) {
  const NamedTensors for_python = with_shared_names(kState, "gpt2-mini");
  EXPECT_THAT(names_of(for_python),
              testing::ElementsAre("transformer.wte.weight", "transformer.wpe.weight", "lm_head.weight"));
  EXPECT_TRUE(for_python.back().second.is_same(kState.front().second));
  EXPECT_EQ(names_of(without_shared_names(for_python, "gpt2-mini", "a.pt")), names_of(kState));
  EXPECT_EQ(names_of(with_shared_names(kState, "resnet18")), names_of(kState));
}

TEST(SharedNames, AreDroppedBehindDdpsPrefixToo) {
  NamedTensors prefixed;
  for (const auto& [name, tensor] : with_shared_names(kState, "gpt2"))
    prefixed.emplace_back("module." + name, tensor.clone());
  EXPECT_EQ(names_of(without_shared_names(prefixed, "gpt2", "a.pt")), names_of(kState));
}

TEST(SharedNames, MayBeTheOnlyOnesThatAreThere) {
  const NamedTensors bert = {{"cls.predictions.decoder.bias", at::ones({2})},
                             {"cls.predictions.decoder.weight", at::ones({2, 2})}};
  EXPECT_THAT(names_of(without_shared_names(bert, "bert-mini", "a.pt")),
              testing::ElementsAre("cls.predictions.bias", "bert.embeddings.word_embeddings.weight"));
}

TEST(SharedNames, MustHoldTheSameBits) {
  NamedTensors untied = kState;
  untied.emplace_back("lm_head.weight", at::zeros({3, 2}, at::kLong));
  try {
    without_shared_names(untied, "gpt2-mini", "a.pt");
    ADD_FAILURE() << "nothing was thrown";
  } catch (const DataError& error) {
    EXPECT_STREQ(error.what(),
                 "a.pt: lm_head.weight and transformer.wte.weight differ, but model gpt2-mini has one tensor "
                 "for both; tie them before saving");
  }
}

}  // namespace
}  // namespace lockstep
