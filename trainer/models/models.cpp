#include "trainer/models/models.h"

#include <array>
#include <stdexcept>

#include "sampler/nearest_name.h"
#include "trainer/models/factories.h"

namespace lockstep {
namespace {

constexpr std::array kSharedInGpt2{SharedName{"lm_head.weight", "transformer.wte.weight"}};
constexpr std::array kSharedInBert{
    SharedName{"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"},
    SharedName{"cls.predictions.decoder.bias", "cls.predictions.bias"}};

struct Entry {
  const char* name;
  std::shared_ptr<Model> (*make)(const DatasetShape& shape);
  TokenNeeds needs = {};  // of a model of tokens
  std::span<const SharedName> shared = {};
};

constexpr std::array kModels{
    Entry{"mlp", make_mlp},
    Entry{"convnet", make_convnet},
    Entry{"resnet18", make_resnet18},
    Entry{"resnet34", make_resnet34},
    Entry{"resnet50", make_resnet50},
    Entry{"resnet101", make_resnet101},
    Entry{"gpt2", make_gpt2_124m, {TokenTask::kNextToken, 1024}, kSharedInGpt2},
    Entry{"gpt2-mini", make_gpt2_mini, {TokenTask::kNextToken, 128}, kSharedInGpt2},
    Entry{"bert-base", make_bert_base, {TokenTask::kMaskedToken, 512}, kSharedInBert},
    Entry{"bert-mini", make_bert_mini, {TokenTask::kMaskedToken, 128}, kSharedInBert},
};

// A classifier's data must have classes; language models look at the rest themselves.
void check_classes(const std::string& name, const DatasetShape& shape) {
  if (shape.sequence_length > 0) {
    throw std::invalid_argument("model " + name + " tells classes apart, but the data are sequences of " +
                                std::to_string(shape.sequence_length) +
                                " tokens; gpt2, gpt2-mini, bert-base and bert-mini take those");
  }
  if (shape.num_classes < 1) {
    throw std::invalid_argument("model " + name + " needs at least 1 class to tell apart, but the data has " +
                                std::to_string(shape.num_classes));
  }
}

}  // namespace

std::shared_ptr<Model> create_model(const std::string& name, const DatasetShape& shape) {
  for (const Entry& entry : kModels) {
    if (name != entry.name) continue;
    if (entry.needs.sequence_length == 0) check_classes(name, shape);
    return entry.make(shape);
  }
  std::string message = "unknown model '" + name + "'";
  const std::string nearest = nearest_name(name, model_names());
  if (!nearest.empty()) message += ": did you mean '" + nearest + "'?";
  message += "; known are:";
  for (const Entry& entry : kModels) message += std::string(&entry == &kModels[0] ? " " : ", ") + entry.name;
  throw std::invalid_argument(message);
}

TokenNeeds token_needs(const std::string& name) {
  for (const Entry& entry : kModels) {
    if (name == entry.name) return entry.needs;
  }
  return {};
}

std::span<const SharedName> shared_names(const std::string& model) {
  for (const Entry& entry : kModels) {
    if (model == entry.name) return entry.shared;
  }
  return {};
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  names.reserve(kModels.size());
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

}  // namespace lockstep
