// What each model's file gives to the table in models.cpp. Not for use outside this folder.
#pragma once

#include <memory>

#include "trainer/models/model.h"

namespace lockstep {

std::shared_ptr<Model> make_mlp(const DatasetShape& shape);
std::shared_ptr<Model> make_convnet(const DatasetShape& shape);
std::shared_ptr<Model> make_resnet18(const DatasetShape& shape);
std::shared_ptr<Model> make_resnet34(const DatasetShape& shape);
std::shared_ptr<Model> make_resnet50(const DatasetShape& shape);
std::shared_ptr<Model> make_resnet101(const DatasetShape& shape);
std::shared_ptr<Model> make_gpt2_124m(const DatasetShape& shape);
std::shared_ptr<Model> make_gpt2_mini(const DatasetShape& shape);
std::shared_ptr<Model> make_bert_base(const DatasetShape& shape);
std::shared_ptr<Model> make_bert_mini(const DatasetShape& shape);

}  // namespace lockstep
