#include "trainer/model_state.h"

#include <ATen/ops/equal.h>

#include <algorithm>

#include "sampler/data_error.h"
#include "trainer/models/models.h"

namespace lockstep {
namespace {

NamedTensors::iterator find(NamedTensors& tensors, const std::string& name) {
  return std::find_if(tensors.begin(), tensors.end(), [&](const auto& item) { return item.first == name; });
}

bool same_bytes(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes() &&
         at::equal(a.contiguous().view(at::kByte), b.contiguous().view(at::kByte));
}

}  // namespace

NamedTensors model_state(const Model& model) {
  NamedTensors tensors;
  for (const auto& item : model.named_parameters()) tensors.emplace_back(item.key(), item.value().detach());
  for (const auto& item : model.named_buffers()) tensors.emplace_back(item.key(), item.value().detach());
  return tensors;
}

NamedTensors without_shared_names(NamedTensors tensors, const std::string& model, const std::string& source) {
  tensors = without_ddp_prefix(std::move(tensors));
  for (const auto& [name, first] : shared_names(model)) {
    const auto again = find(tensors, name);
    if (again == tensors.end()) continue;
    const auto original = find(tensors, first);
    if (original != tensors.end() && !same_bytes(again->second, original->second)) {
      throw DataError(source + ": " + name + " and " + first + " differ, but model " + model +
                      " has one tensor for both; tie them before saving");
    }
    if (original == tensors.end()) {
      again->first = first;
    } else {
      tensors.erase(again);
    }
  }
  return tensors;
}

NamedTensors with_shared_names(NamedTensors tensors, const std::string& model) {
  for (const auto& [name, first] : shared_names(model)) {
    const auto original = find(tensors, first);
    if (original != tensors.end()) tensors.emplace_back(name, at::Tensor(original->second));
  }
  return tensors;
}

}  // namespace lockstep
