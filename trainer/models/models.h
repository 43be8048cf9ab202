// The table of models that `--model` knows. A new one is one file plus one line in models.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "trainer/models/model.h"

namespace lockstep {

// Builds the model on the CPU with PyTorch's default initialisation, drawing from the default generator, so
// that torch.manual_seed(s) and the same model in Python give the same bits. Its first layer adapts to
// shape.sample_sizes (C, H, W) and its last to shape.num_classes.
// Throws std::invalid_argument for an unknown name (with the nearest known one) or a shape that it cannot
// take.
std::shared_ptr<Model> create_model(const std::string& name, const DatasetShape& shape);

// The model mlp with other hidden layers than the table's 512, 512; at least one.
std::shared_ptr<Model> create_mlp(const DatasetShape& shape, const std::vector<std::int64_t>& hidden);

std::vector<std::string> model_names();

}  // namespace lockstep
