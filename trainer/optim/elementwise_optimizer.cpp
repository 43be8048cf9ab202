#include "trainer/optim/elementwise_optimizer.h"

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_sub.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "trainer/optim/fused_update.h"
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
      remembered_(parameters_.size()) {
  if (!options_.fused || !options_.lr_on_device || parameters_.empty()) return;
  const at::Device device = parameters_.front().device();
  // The CPU's kernels compute with the number as it is, the GPU's take nothing but a float32.
  lr_tensor_ = at::full({}, options_.lr,
                        at::TensorOptions().dtype(device.is_cpu() ? at::kDouble : at::kFloat).device(device));
}

void ElementwiseOptimizer::PieceList::add(const Piece& piece, std::size_t kinds) {
  parameters.push_back(piece.parameter);
  grads.push_back(piece.grad);
  for (std::size_t k = 0; k < kinds; ++k) memory[k].push_back(piece.memory[k]);
}

std::vector<ElementwiseOptimizer::IndexedGradient> ElementwiseOptimizer::own_gradients() const {
  std::vector<IndexedGradient> gradients;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (parameters_[i].grad().defined()) gradients.push_back({i, parameters_[i].grad()});
  }
  return gradients;
}

void ElementwiseOptimizer::step() {
  update_with(own_gradients());
}

void ElementwiseOptimizer::step_unless(const at::Tensor& found_inf) {
  const std::vector<IndexedGradient> gradients = own_gradients();
  const bool begun = std::all_of(gradients.begin(), gradients.end(),
                                 [this](const IndexedGradient& one) { return remembers(one.index); });
  if (!options_.fused || !begun) return Optimizer::step_unless(found_inf);
  update_with(gradients, found_inf);
}

void ElementwiseOptimizer::update_with(const std::vector<IndexedGradient>& gradients,
                                       const at::Tensor& found_inf) {
  const at::NoGradGuard no_grad;
  if (options_.fused) return update_with_kernels(gradients, found_inf);
  for (const auto& [index, grad] : gradients) {
    begin_update(index);
    const at::Tensor& parameter = parameters_[index];
    if (remembered_[index].fused && can_fuse({parameter, grad})) {
      run_fused(fused_piece(index, 0, grad.const_data_ptr(), grad.numel()));
    } else {
      apply({parameter, grad, remembered_[index].memory, remembered_[index].first});
    }
    parameter.unsafeGetTensorImpl()->bump_version();  // kernels of our own write past autograd
  }
}

void ElementwiseOptimizer::update_with_kernels(const std::vector<IndexedGradient>& gradients,
                                               const at::Tensor& found_inf) {
  std::array<PieceList, 2> lists;  // of those that go on, and of those that begin
  lists[1].first = true;
  for (const auto& [index, as_it_came] : gradients) {
    const at::Tensor& parameter = parameters_[index];
    at::Tensor grad = as_it_came;
    if (grad.strides() != parameter.strides()) grad = at::empty_like(parameter.detach()).copy_(grad);
    make_memory(index);
    lists[remembered_[index].first ? 1 : 0].add({parameter, grad, remembered_[index].memory, false},
                                                kinds_.size());
  }
  for (const PieceList& list : lists) {
    if (list.parameters.empty()) continue;
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      if (!kinds_[k].per_element) at::_foreach_add_(list.memory[k], 1);
    }
    apply_kernels(list, found_inf);
    if (!found_inf.defined()) continue;
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      if (!kinds_[k].per_element)
        at::_foreach_sub_(list.memory[k], std::vector<at::Tensor>(list.memory[k].size(), found_inf));
    }
  }
}

void ElementwiseOptimizer::zero_grad() {
  for (at::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
}

void ElementwiseOptimizer::set_lr(double lr) {
  require_non_negative("learning rate", lr);
  if (lr_tensor_.defined() && lr != options_.lr) lr_tensor_.fill_(lr);
  options_.lr = lr;
}

bool ElementwiseOptimizer::is_repeatable() const {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!remembers(i)) return false;
  }
  return options_.fused;
}

at::Tensor ElementwiseOptimizer::zeros_for(std::size_t kind, const at::Tensor& parameter) const {
  if (kinds_[kind].per_element) return at::zeros_like(parameter);
  const at::Device device = options_.fused ? parameter.device() : at::Device(at::kCPU);
  return at::zeros({}, at::TensorOptions().dtype(at::kFloat).device(device));
}

void ElementwiseOptimizer::make_memory(std::size_t index) {
  auto& [memory, first, fused] = remembered_[index];
  first = false;
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    if (memory[k].defined()) continue;
    first = true;
    memory[k] = zeros_for(k, parameters_[index]);
  }
}

void ElementwiseOptimizer::begin_update(std::size_t index) {
  if (options_.fused) throw std::logic_error("LibTorch's fused kernels do not update in pieces");
  const at::NoGradGuard no_grad;
  make_memory(index);
  Remembered& remembered = remembered_[index];
  const at::Tensor& parameter = parameters_[index];
  remembered.fused = fuses_ && can_fuse({parameter});
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    if (kinds_[k].per_element) {
      remembered.fused = remembered.fused && can_fuse({parameter, remembered.memory[k]});
    } else {
      remembered.memory[k].add_(1);
    }
  }
}

void ElementwiseOptimizer::update(std::size_t index, std::int64_t begin, const void* grad,
                                  std::int64_t count) {
  if (remembered_[index].fused) return run_fused(fused_piece(index, begin, grad, count));
  const at::NoGradGuard no_grad;
  const auto part = [&](const at::Tensor& whole) { return flat_view(whole).narrow(0, begin, count); };
  const at::Tensor parameter = part(parameters_[index].detach());
  Piece piece{parameter, at::from_blob(const_cast<void*>(grad), {count}, parameter.options()),
              remembered_[index].memory, remembered_[index].first};
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    if (kinds_[k].per_element) piece.memory[k] = part(piece.memory[k]);
  }
  apply(std::move(piece));
}

ElementwiseOptimizer::FusedPiece ElementwiseOptimizer::fused_piece(std::size_t index, std::int64_t begin,
                                                                   const void* grad,
                                                                   std::int64_t count) const {
  const Remembered& remembered = remembered_[index];
  FusedPiece piece{static_cast<float*>(parameters_[index].data_ptr()) + begin,
                   static_cast<const float*>(grad),
                   {},
                   count,
                   remembered.first};
  for (std::size_t k = 0; k < kinds_.size(); ++k) {
    piece.memory[k] =
        static_cast<float*>(remembered.memory[k].data_ptr()) + (kinds_[k].per_element ? begin : 0);
  }
  return piece;
}

// On LibTorch's threads where that pays, as its own element-wise kernels.
void ElementwiseOptimizer::run_fused(const FusedPiece& piece) const {
  constexpr std::int64_t kGrain = 32768;
  if (piece.count <= kGrain || at::get_num_threads() == 1 || at::in_parallel_region())
    return apply_fused(piece);
  at::parallel_for(0, piece.count, kGrain, [&](std::int64_t begin, std::int64_t end) {
    FusedPiece part = piece;
    part.parameter += begin;
    part.grad += begin;
    for (std::size_t k = 0; k < kinds_.size(); ++k) part.memory[k] += kinds_[k].per_element ? begin : 0;
    part.count = end - begin;
    apply_fused(part);
  });
}

void ElementwiseOptimizer::check_fused() {
  if (options_.fused) return;  // those kernels' bits are others
  const auto make = [&] {
    Piece piece{test_values(1), test_values(2), {}, false};
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      constexpr double kSomeStep = 7;
      piece.memory[k] =
          kinds_[k].per_element ? test_values(3 + k).abs() : at::scalar_tensor(kSomeStep, at::kFloat);
    }
    return piece;
  };
  const Piece reference = make();
  const Piece fused = make();
  apply(reference);
  FusedPiece ranges{fused.parameter.data_ptr<float>(),
                    fused.grad.const_data_ptr<float>(),
                    {},
                    fused.parameter.numel(),
                    false};
  for (std::size_t k = 0; k < kinds_.size(); ++k) ranges.memory[k] = fused.memory[k].data_ptr<float>();
  apply_fused(ranges);
  fuses_ = at::equal(fused.parameter, reference.parameter);
  for (std::size_t k = 0; k < kinds_.size(); ++k)
    fuses_ = fuses_ && at::equal(fused.memory[k], reference.memory[k]);
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
      loaded[i].memory[k] = zeros_for(k, parameters_[i]);
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
