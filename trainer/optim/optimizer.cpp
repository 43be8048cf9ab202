#include "trainer/optim/optimizer.h"

#include <array>
#include <stdexcept>

#include "trainer/optim/factories.h"
#include "trainer/optim/options_check.h"

namespace lockstep {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<ElementwiseOptimizer> (*make)(std::vector<at::Tensor> parameters,
                                                const OptimizerOptions& options);
};

constexpr std::array kOptimizers{
    Entry{"sgd", make_sgd},
    Entry{"adam", make_adam},
    Entry{"adamw", make_adamw},
};

}  // namespace

void Optimizer::step_unless(const at::Tensor& found_inf) {
  if (found_inf.item<float>() == 0.0F) step();
}

std::unique_ptr<Optimizer> create_optimizer(const std::string& name, std::vector<at::Tensor> parameters,
                                            const OptimizerOptions& options) {
  return create_elementwise_optimizer(name, std::move(parameters), options);
}

std::unique_ptr<ElementwiseOptimizer> create_elementwise_optimizer(const std::string& name,
                                                                   std::vector<at::Tensor> parameters,
                                                                   const OptimizerOptions& options) {
  for (const Entry& entry : kOptimizers) {
    if (name != entry.name) continue;
    require_parameters(parameters);
    require_non_negative("learning rate", options.lr);
    require_non_negative("weight decay", options.weight_decay);
    return entry.make(std::move(parameters), options);
  }
  std::string message = "unknown optimizer '" + name + "'; known are:";
  for (const Entry& entry : kOptimizers)
    message += std::string(&entry == &kOptimizers[0] ? " " : ", ") + entry.name;
  throw std::invalid_argument(message);
}

std::vector<std::string> optimizer_names() {
  std::vector<std::string> names;
  names.reserve(kOptimizers.size());
  for (const Entry& entry : kOptimizers) names.emplace_back(entry.name);
  return names;
}

}  // namespace lockstep
