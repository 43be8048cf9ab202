#include "trainer/optim/elementwise_optimizer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <utility>

#include "trainer/optim/options_check.h"

namespace lockstep {
at::Tensor flat_view(const at::Tensor& dense) {
  return dense.is_contiguous() ? dense.view({-1}) : dense.as_strided({dense.numel()}, {1});
}

ElementwiseOptimizer::ElementwiseOptimizer(std::string name, std::vector<at::Tensor> parameters,
                                           const OptimizerOptions& options,
                                           std::vector<OptimizerMemory> memory)
    : options_(options),
      name_(std::move(name)),
      parameters_(std::move(parameters)),
      kinds_(std::move(memory)),
      remembered_(parameters_.size()) {}

void ElementwiseOptimizer::step() {
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!parameters_[i].grad().defined()) continue;
    begin_update(i);
    apply({parameters_[i], parameters_[i].grad(), remembered_[i].memory, remembered_[i].first});
    parameters_[i].unsafeGetTensorImpl()->bump_version();  // kernels of our own write past autograd
  }
}

void ElementwiseOptimizer::zero_grad() {
  for (at::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
}

void ElementwiseOptimizer::set_lr(double lr) {
  require_non_negative("learning rate", lr);
  options_.lr = lr;
}

void ElementwiseOptimizer::begin_update(std::size_t index) {
  const at::NoGradGuard no_grad;
  auto& [memory, first] = remembered_[index];
  first = false;
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    if (memory[k].defined()) continue;
    first = true;
    memory[k] = kinds_[k].per_element ? at::zeros_like(parameters_[index])
                                      : at::zeros({}, at::TensorOptions().dtype(at::kFloat));
  }
  begin(memory);
}

void ElementwiseOptimizer::update(std::size_t index, std::int64_t begin, const at::Tensor& grad) {
  const at::NoGradGuard no_grad;
  const auto part = [&](const at::Tensor& whole) { return flat_view(whole).narrow(0, begin, grad.numel()); };
  Piece piece{part(parameters_[index]), grad, remembered_[index].memory, remembered_[index].first};
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    if (kinds_[k].per_element) piece.memory[k] = part(piece.memory[k]);
  }
  apply(std::move(piece));
}

std::vector<OptimizerStateEntry> ElementwiseOptimizer::state() {
  std::vector<OptimizerStateEntry> entries;
  for (std::size_t i = 0; i < remembered_.size(); ++i) {
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      const at::Tensor& value = remembered_[i].memory[k];
      if (value.defined()) entries.push_back({static_cast<std::int64_t>(i), kinds_[k].name, value});
    }
  }
  return entries;
}

void ElementwiseOptimizer::load_state(const std::vector<OptimizerStateEntry>& entries) {
  check_state(entries, parameters_);
  std::vector<Remembered> loaded(parameters_.size());
  for (const OptimizerStateEntry& entry : entries) {
    const auto i = static_cast<std::size_t>(entry.parameter_index);
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      if (entry.name != kinds_[k].name) continue;
      // In the parameter's own order in memory, whatever order it was saved in.
      loaded[i].memory[k] = kinds_[k].per_element ? at::zeros_like(parameters_[i])
                                                  : at::zeros({}, at::TensorOptions().dtype(at::kFloat));
      loaded[i].memory[k].copy_(entry.value.detach());
    }
  }
  remembered_ = std::move(loaded);
}

void ElementwiseOptimizer::check_state(const std::vector<OptimizerStateEntry>& entries,
                                       const std::vector<at::Tensor>& parameters) const {
  StateComplaints complaints(name_);
  std::vector<std::array<bool, kMostMemory>> given(parameters.size());
  for (const OptimizerStateEntry& entry : entries) {
    const auto i = static_cast<std::size_t>(entry.parameter_index);
    const auto kind = std::find_if(kinds_.begin(), kinds_.end(),
                                   [&](const OptimizerMemory& known) { return entry.name == known.name; });
    if (kind == kinds_.end()) {
      complaints.add(entry, refusal(entry.name));
      continue;
    }
    if (entry.parameter_index < 0 || i >= parameters.size()) {
      complaints.add(entry, "belongs to no parameter (there are " + std::to_string(parameters.size()) + ")");
      continue;
    }
    bool& known = given[i][static_cast<std::size_t>(kind - kinds_.begin())];
    if (known) {
      complaints.add(entry, "is given twice");
    } else if (kind->per_element) {
      complaints.require_like(entry, parameters[i].scalar_type(), parameters[i].sizes());
    } else {
      complaints.require_like(entry, at::kFloat, {});
    }
    known = true;
  }
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const bool any = std::any_of(given[i].begin(), given[i].end(), [](bool one) { return one; });
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      if (any && !given[i][k])
        complaints.add({static_cast<std::int64_t>(i), kinds_[k].name, {}}, "is missing");
    }
  }
  complaints.finish();
}

}  // namespace lockstep
