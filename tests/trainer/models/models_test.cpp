// The built-in models against their Python twins: names, shapes, initial values, logits and gradients, bit
// for bit.
#include "trainer/models/models.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "tests/reference/reference_file.h"

namespace lockstep {
namespace {

struct Case {
  const char* name;
  const char* model;
  DatasetShape shape;
  const char* adaptation;
};

// The same table as in tests/reference/models_reference.py.
const std::vector<Case>& cases() {
  static const std::vector<Case> table{
      {"mlp", "mlp", {{1, 28, 28}, 10}, "net.0 takes 784 numbers (1, 28, 28), net.4 gives 10 classes"},
      {"convnet",
       "convnet",
       {{1, 28, 28}, 10},
       "conv1 takes 1 channel of 28x28 pixels, fc2 gives 10 classes"},
      {"convnet_color",
       "convnet",
       {{3, 33, 20}, 7},
       "conv1 takes 3 channels of 33x20 pixels, fc2 gives 7 classes"},
      {"resnet18", "resnet18", {{3, 64, 80}, 1000}, "conv1 takes 3 channels, fc gives 1000 classes"},
      {"resnet18_small",
       "resnet18",
       {{1, 28, 28}, 10},
       "conv1 takes 1 channel and is 3x3 with stride 1, without max-pooling, because 28x28 pixels are fewer "
       "than "
       "64x64, fc gives 10 classes"},
      {"resnet50", "resnet50", {{3, 64, 64}, 10}, "conv1 takes 3 channels, fc gives 10 classes"},
  };
  return table;
}

NamedTensors state_of(const Model& model) {
  NamedTensors state;
  for (const auto& item : model.named_parameters()) state.emplace_back(item.key(), item.value());
  for (const auto& item : model.named_buffers()) state.emplace_back(item.key(), item.value());
  return state;
}

class ModelAgainstPython : public testing::TestWithParam<Case> {};

TEST_P(ModelAgainstPython, HasTheSameBits) {
  at::set_num_threads(1);
  const std::string name = GetParam().name;
  const auto expected = read_reference(name + ".safetensors");

  auto generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(7);
  const auto model = create_model(GetParam().model, GetParam().shape);
  EXPECT_TRUE(same_bits(generator.get_state(), expected.at("generator"))) << "another number of random draws";

  std::ifstream names(reference_path(name + ".names"));
  const NamedTensors state = state_of(*model);
  for (const auto& [key, value] : state) {
    std::string expected_key;
    std::getline(names, expected_key);
    EXPECT_EQ(key, expected_key);
    EXPECT_TRUE(same_bits(value, expected.at("initial." + key))) << key;
  }
  std::string surplus;
  EXPECT_FALSE(std::getline(names, surplus)) << "Python has " << surplus << " as well";

  const at::Tensor logits = model->forward(expected.at("input"));
  EXPECT_TRUE(same_bits(logits, expected.at("logits")));
  at::cross_entropy_loss(logits, expected.at("target")).backward();
  for (const auto& item : model->named_parameters()) {
    EXPECT_TRUE(same_bits(item.value().grad(), expected.at("grad." + item.key()))) << item.key();
  }
  for (const auto& item : model->named_buffers()) {
    EXPECT_TRUE(same_bits(item.value(), expected.at("after." + item.key()))) << item.key();
  }
}

TEST_P(ModelAgainstPython, SaysWhatItAdapted) {
  EXPECT_EQ(create_model(GetParam().model, GetParam().shape)->adaptation(), GetParam().adaptation);
}

INSTANTIATE_TEST_SUITE_P(, ModelAgainstPython, testing::ValuesIn(cases()),
                         [](const auto& info) { return std::string(info.param.name); });

std::int64_t parameter_count(const std::string& name, const DatasetShape& shape) {
  std::int64_t count = 0;
  for (const at::Tensor& parameter : create_model(name, shape)->parameters()) count += parameter.numel();
  return count;
}

TEST(Models, HaveThePublishedParameterCounts) {
  EXPECT_EQ(parameter_count("mlp", {{1, 28, 28}, 10}), 784 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10);
  EXPECT_EQ(parameter_count("convnet", {{1, 28, 28}, 10}),
            16 * 9 + 16 + 32 * 16 * 9 + 32 + 128 * 32 * 7 * 7 + 128 + 10 * 128 + 10);
  // torchvision's documentation:
  EXPECT_EQ(parameter_count("resnet18", {{3, 224, 224}, 1000}), 11'689'512);
  EXPECT_EQ(parameter_count("resnet50", {{3, 224, 224}, 1000}), 25'557'032);
}

std::string refusal(const std::string& name, const DatasetShape& shape) {
  try {
    create_model(name, shape);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Models, RefuseWhatTheyCannotTake) {
  EXPECT_EQ(
      refusal("resnet81", {{3, 32, 32}, 10}),
      "unknown model 'resnet81': did you mean 'resnet18'?; known are: mlp, convnet, resnet18, resnet34, "
      "resnet50, resnet101, gpt2, gpt2-mini, bert-base, bert-mini");
  EXPECT_EQ(refusal("convnet", {{784}, 10}),
            "model convnet takes pictures (channels, height, width), but one sample is (784); model mlp "
            "takes samples "
            "of any shape");
  EXPECT_EQ(refusal("convnet", {{1, 3, 28}, 10}),
            "model convnet takes pictures of at least 4x4 pixels, but one sample is (1, 3, 28)");
  EXPECT_EQ(refusal("resnet18", {{0, 28, 28}, 10}),
            "model resnet18 takes pictures (channels, height, width), but one sample is (0, 28, 28); model "
            "mlp takes "
            "samples of any shape");
  EXPECT_EQ(refusal("mlp", {{}, 10}),
            "model mlp takes samples of at least one number and fewer than 2^63, but one sample is ()");
  EXPECT_EQ(refusal("mlp", {{1 << 30, 1 << 30, 1 << 30}, 10}),
            "model mlp takes samples of at least one number and fewer than 2^63, but one sample is "
            "(1073741824, 1073741824, 1073741824)");
  EXPECT_EQ(refusal("mlp", {{4}, 0}), "model mlp needs at least 1 class to tell apart, but the data has 0");
}

TEST(Models, OfTokensRefuseOtherData) {
  const DatasetShape sequences{{300}, 0, 300, 256};
  const DatasetShape pairs{{2, 513}, 0, 513, 259};
  EXPECT_EQ(refusal("convnet", sequences),
            "model convnet tells classes apart, but the data are sequences of 300 tokens; gpt2, gpt2-mini, "
            "bert-base and bert-mini take those");
  EXPECT_EQ(refusal("gpt2", {{1, 28, 28}, 10}),
            "model gpt2 takes sequences of tokens, each with the token that follows it, but one sample is "
            "(1, 28, 28); --data text:FILE, tokens:FILE and synthetic-tokens give them");
  EXPECT_EQ(refusal("bert-mini", sequences),
            "model bert-mini takes pairs of masked sequences of tokens, but one sample is (300); --data "
            "text:FILE, tokens:FILE and synthetic-tokens give them");
  EXPECT_EQ(refusal("gpt2-mini", sequences),
            "model gpt2-mini takes sequences of at most 256 tokens, but one sample has 300; lower "
            "--sequence-length");
  EXPECT_EQ(refusal("bert-mini", pairs),
            "model bert-mini takes sequences of at most 512 tokens, but one sample has 513; lower "
            "--sequence-length");
}

TEST(Models, OfTokensSayWhatTheyNeedAndWhatTheyAdapted) {
  EXPECT_EQ(token_needs("gpt2").sequence_length, 1024);
  EXPECT_EQ(token_needs("gpt2").task, TokenTask::kNextToken);
  EXPECT_EQ(token_needs("bert-base").sequence_length, 512);
  EXPECT_EQ(token_needs("bert-base").task, TokenTask::kMaskedToken);
  EXPECT_EQ(token_needs("mlp").sequence_length, 0);
  EXPECT_EQ(create_model("gpt2-mini", {{64}, 0, 64, 256})->adaptation(),
            "transformer.wte takes 256 tokens, sequences have 64 of at most 256");
  EXPECT_EQ(create_model("bert-mini", {{2, 64}, 0, 64, 259})->adaptation(),
            "bert.embeddings takes 259 tokens, sequences have 64 of at most 512");
}

TEST(Models, ScoreTheAnswersThatCount) {
  const auto score_of = [](const Model& model, const at::Tensor& output, const at::Tensor& target) {
    const at::Tensor score = model.score(output, target);
    return std::vector<double>(score.const_data_ptr<double>(),
                               score.const_data_ptr<double>() + score.numel());
  };
  // Two sequences of two tokens, equal logits for all four tokens; argmax takes the first.
  const auto gpt2 = create_model("gpt2-mini", {{2}, 0, 2, 4});
  const at::Tensor tokens = at::tensor({0, 1, -100, 0}, at::kLong).view({2, 2});
  const auto next = score_of(*gpt2, at::zeros({2, 2, 4}), tokens);
  EXPECT_NEAR(next[0], 3 * std::log(4.0), 1e-6);
  EXPECT_EQ(next[1], 2.0);
  EXPECT_EQ(next[2], 3.0);
  EXPECT_NEAR(gpt2->loss(at::zeros({2, 2, 4}), tokens).item<double>(), std::log(4.0), 1e-6);
  // One pair of two tokens, of which one counts, and its relation.
  const auto bert = create_model("bert-mini", {{2, 2}, 0, 2, 4});
  ASSERT_EQ(bert->num_heads(), 2);
  const at::Tensor pair = at::tensor({-100, 2, 0}, at::kLong).view({1, 3});
  const auto both = score_of(*bert, at::zeros({2 * 4 + 2}), pair);
  EXPECT_NEAR(both[0], std::log(4.0), 1e-6);
  EXPECT_EQ(both[1], 0.0);
  EXPECT_EQ(both[2], 1.0);
  EXPECT_NEAR(both[3], std::log(2.0), 1e-6);
  EXPECT_EQ(both[4], 1.0);
  EXPECT_EQ(both[5], 1.0);
  EXPECT_NEAR(bert->loss(at::zeros({2 * 4 + 2}), pair).item<double>(), std::log(4.0) + std::log(2.0), 1e-6);
}

TEST(Models, TakeTheSmallestPictures) {
  for (const auto& [name, side] :
       std::vector<std::pair<std::string, std::int64_t>>{{"convnet", 4}, {"resnet18", 1}, {"resnet50", 1}}) {
    const auto model = create_model(name, {{2, side, side}, 3});
    model->eval();
    EXPECT_EQ(model->forward(at::zeros({5, 2, side, side})).sizes(), at::IntArrayRef({5, 3})) << name;
  }
}

TEST(Models, AnMlpTakesOtherWidths) {
  const auto model = create_mlp({{1, 4, 2}, 3}, {5, 7, 6});
  std::vector<std::string> shapes;
  for (const auto& item : model->named_parameters()) {
    std::ostringstream text;
    text << item.key() << ' ' << item.value().sizes();
    shapes.push_back(text.str());
  }
  EXPECT_EQ(shapes, (std::vector<std::string>{"net.0.weight [5, 8]", "net.0.bias [5]", "net.2.weight [7, 5]",
                                              "net.2.bias [7]", "net.4.weight [6, 7]", "net.4.bias [6]",
                                              "net.6.weight [3, 6]", "net.6.bias [3]"}));
  EXPECT_EQ(model->adaptation(), "net.0 takes 8 numbers (1, 4, 2), net.6 gives 3 classes");
  EXPECT_THROW(create_mlp({{4}, 3}, {}), std::invalid_argument);
}

TEST(Models, AreAllListed) {
  for (const char* name : {"mlp", "convnet", "resnet18", "resnet34", "resnet50", "resnet101", "gpt2",
                           "gpt2-mini", "bert-base", "bert-mini"}) {
    EXPECT_THAT(model_names(), testing::Contains(name));
  }
  EXPECT_EQ(model_names().size(), 10u);
}

}  // namespace
}  // namespace lockstep
