// The table of models that `--model` knows. A new one is one file plus one line in models.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/models/model.h"

namespace lockstep {

// Builds the model on the CPU with the initialisation of its reference (PyTorch's own, torchvision's or
// Hugging Face's), drawing from the default generator, so that torch.manual_seed(s) and the same model in
// Python give the same bits. Its first layer adapts to shape.sample_sizes (C, H, W) and its last to
// shape.num_classes, or both to shape.vocabulary_size. Throws std::invalid_argument for an unknown name (with
// the nearest known one) or a shape that it cannot take.
std::shared_ptr<Model> create_model(const std::string& name, const DatasetShape& shape);

// The model mlp with other hidden layers than the table's 512, 512; at least one.
std::shared_ptr<Model> create_mlp(const DatasetShape& shape, const std::vector<std::int64_t>& hidden);

// How data of tokens are to be served to a model.
struct TokenNeeds {
  TokenTask task = TokenTask::kNextToken;
  std::int64_t sequence_length = 0;  // unless told otherwise; 0: it takes no tokens
};

// Those of a model that takes no tokens, and of one that is unknown, are the default.
TokenNeeds token_needs(const std::string& name);

// Another name of a parameter that two modules share, under which Python's state_dict() lists it once more;
// ours has it once, as `first`.
struct SharedName {
  const char* name;
  const char* first;
};

std::span<const SharedName> shared_names(const std::string& model);

std::vector<std::string> model_names();

}  // namespace lockstep
