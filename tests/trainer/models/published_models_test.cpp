// Models that others have published, against torchvision's and Hugging Face's own: names, shapes, counts,
// initial values, logits with and without dropout, losses and gradients, bit for bit.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/reference/reference_file.h"
#include "trainer/models/models.h"

namespace lockstep {
namespace {

struct Case {
  const char* model;
  DatasetShape shape;
  std::int64_t parameters;  // as published, where it is
};

DatasetShape tokens(std::int64_t vocabulary_size) {
  return {.sample_sizes = {20}, .num_classes = 0, .sequence_length = 20, .vocabulary_size = vocabulary_size};
}

DatasetShape pairs(std::int64_t vocabulary_size) {
  DatasetShape shape = tokens(vocabulary_size);
  shape.sample_sizes = {2, 20};
  return shape;
}

constexpr std::int64_t transformer_layer(std::int64_t width, std::int64_t intermediate) {
  return 4 * (width * width + width) + 2 * width * intermediate + intermediate + width + 4 * width;
}

// The same table as in tests/reference/published_models_reference.py. Counts: torchvision's documentation,
// Hugging Face's and, for the mini models, layers + embeddings + the rest.
const std::vector<Case>& cases() {
  static const std::vector<Case> table{
      {"resnet18", {{3, 64, 64}, 1000}, 11'689'512},
      {"resnet34", {{3, 64, 64}, 1000}, 21'797'672},
      {"resnet50", {{3, 64, 64}, 1000}, 25'557'032},
      {"resnet101", {{3, 64, 64}, 1000}, 44'549'160},
      {"gpt2-mini", tokens(256), 4 * transformer_layer(128, 512) + (256 + 256 + 2) * 128},
      {"bert-mini", pairs(259),
       4 * transformer_layer(256, 1024) + (259 + 512 + 2 + 2) * 256 + 2 * (256 * 256 + 256) + 2 * 256 + 259 +
           2 * 256 + 2},
      {"gpt2", tokens(50257), 124'439'808},
      {"bert-base", pairs(30522), 110'106'428},
  };
  return table;
}

class PublishedModel : public testing::TestWithParam<Case> {
 protected:
  at::Generator generator_ = at::detail::getDefaultCPUGenerator();
};

TEST_P(PublishedModel, HasTheBitsOfItsReference) {
  at::set_num_threads(1);
  const std::string name = GetParam().model;
  const auto expected = read_reference(name + ".safetensors");

  generator_.set_current_seed(7);
  const auto model = create_model(name, GetParam().shape);
  EXPECT_TRUE(same_bits(generator_.get_state(), expected.at("generator")))
      << "another number of random draws";
  std::ifstream names(reference_path(name + ".names"));
  std::int64_t count = 0, in_bert = 0;
  const auto compare = [&](const std::string& key, const at::Tensor& value) {
    std::string expected_key;
    std::getline(names, expected_key);
    EXPECT_EQ(key, expected_key);
    EXPECT_TRUE(same_bits(value, expected.at("initial." + key))) << key;
  };
  for (const auto& item : model->named_parameters()) {
    compare(item.key(), item.value());
    count += item.value().numel();
    if (item.key().starts_with("bert.")) in_bert += item.value().numel();
  }
  for (const auto& item : model->named_buffers()) compare(item.key(), item.value());
  std::string surplus;
  EXPECT_FALSE(std::getline(names, surplus)) << "the reference has " << surplus << " as well";
  EXPECT_EQ(count, GetParam().parameters);
  if (name == "bert-base") {
    EXPECT_EQ(in_bert, 109'482'240);  // published for the encoder with its pooler
  }

  model->eval();
  {
    const at::NoGradGuard no_grad;
    EXPECT_TRUE(same_bits(model->forward(expected.at("input")), expected.at("eval_logits")));
  }
  model->train();
  generator_.set_current_seed(11);
  const at::Tensor logits = model->forward(expected.at("input"));
  EXPECT_TRUE(same_bits(logits, expected.at("train_logits")));
  const at::Tensor loss = model->loss(logits, expected.at("target"));
  EXPECT_TRUE(same_bits(loss, expected.at("loss")));
  if (!expected.contains("grad." + model->named_parameters()[0].key())) return;
  loss.backward();
  for (const auto& item : model->named_parameters()) {
    EXPECT_TRUE(same_bits(item.value().grad(), expected.at("grad." + item.key()))) << item.key();
  }
}

INSTANTIATE_TEST_SUITE_P(, PublishedModel, testing::ValuesIn(cases()), [](const auto& info) {
  std::string name = info.param.model;
  for (char& c : name) c = c == '-' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace lockstep
