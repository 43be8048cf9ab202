#include "trainer/models/models.h"

#include <array>
#include <stdexcept>

#include "sampler/nearest_name.h"
#include "trainer/models/factories.h"

namespace lockstep {
namespace {

struct Entry {
  const char* name;
  std::shared_ptr<Model> (*make)(const DatasetShape& shape);
};

constexpr std::array kModels{
    Entry{"mlp", make_mlp},
    Entry{"convnet", make_convnet},
    Entry{"resnet18", make_resnet18},
    Entry{"resnet50", make_resnet50},
};

}  // namespace

std::shared_ptr<Model> create_model(const std::string& name, const DatasetShape& shape) {
  for (const Entry& entry : kModels) {
    if (name != entry.name) continue;
    if (shape.num_classes < 1) {
      throw std::invalid_argument("model " + name +
                                  " needs at least 1 class to tell apart, but the data has " +
                                  std::to_string(shape.num_classes));
    }
    return entry.make(shape);
  }
  std::string message = "unknown model '" + name + "'";
  const std::string nearest = nearest_name(name, model_names());
  if (!nearest.empty()) message += ": did you mean '" + nearest + "'?";
  message += "; known are:";
  for (const Entry& entry : kModels) message += std::string(&entry == &kModels[0] ? " " : ", ") + entry.name;
  throw std::invalid_argument(message);
}

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  names.reserve(kModels.size());
  for (const Entry& entry : kModels) names.emplace_back(entry.name);
  return names;
}

}  // namespace lockstep
