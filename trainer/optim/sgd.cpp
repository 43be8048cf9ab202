// Stochastic gradient descent with momentum and L2 weight decay: torch/optim/sgd.py, _single_tensor_sgd,
// operation by operation (dampening 0, no Nesterov).
#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>

#include "trainer/optim/factories.h"
#include "trainer/optim/options_check.h"

namespace lockstep {
namespace {

constexpr const char* kMomentumBuffer = "momentum_buffer";

class Sgd final : public Optimizer {
 public:
  Sgd(std::vector<at::Tensor> parameters, const OptimizerOptions& options)
      : parameters_(std::move(parameters)), options_(options), momentum_buffers_(parameters_.size()) {
    require_non_negative("momentum", options_.momentum);
  }

  void step() override {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      at::Tensor& parameter = parameters_[i];
      at::Tensor grad = parameter.grad();
      if (!grad.defined()) continue;
      if (options_.weight_decay != 0) grad = grad.add(parameter, options_.weight_decay);
      if (options_.momentum != 0) {
        at::Tensor& buffer = momentum_buffers_[i];
        if (buffer.defined()) {
          buffer.mul_(options_.momentum).add_(grad, 1.0);
        } else {
          buffer = grad.detach().clone();  // PyTorch starts from the gradient, not from zero
        }
        grad = buffer;
      }
      parameter.add_(grad, -options_.lr);
    }
  }

  void zero_grad() override {
    for (at::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
  }
  std::string name() const override { return "sgd"; }
  double lr() const override { return options_.lr; }
  void set_lr(double lr) override {
    require_non_negative("learning rate", lr);
    options_.lr = lr;
  }

  std::vector<OptimizerStateEntry> state() const override {
    std::vector<OptimizerStateEntry> entries;
    for (std::size_t i = 0; i < momentum_buffers_.size(); ++i) {
      if (!momentum_buffers_[i].defined()) continue;
      entries.push_back({static_cast<std::int64_t>(i), kMomentumBuffer, momentum_buffers_[i]});
    }
    return entries;
  }

  void load_state(const std::vector<OptimizerStateEntry>& entries) override {
    std::vector<at::Tensor> buffers(parameters_.size());
    StateComplaints complaints("sgd");
    for (const OptimizerStateEntry& entry : entries) {
      const auto i = static_cast<std::size_t>(entry.parameter_index);
      if (entry.name != kMomentumBuffer) {
        complaints.add(entry, "is nothing that sgd keeps");
      } else if (options_.momentum == 0) {
        complaints.add(entry, "belongs to a momentum other than 0");
      } else if (entry.parameter_index < 0 || i >= parameters_.size()) {
        complaints.add(entry,
                       "belongs to no parameter (there are " + std::to_string(parameters_.size()) + ")");
      } else if (buffers[i].defined()) {
        complaints.add(entry, "is given twice");
      } else {
        complaints.require_like(entry, parameters_[i].scalar_type(), parameters_[i].sizes());
        buffers[i] = entry.value;
      }
    }
    complaints.finish();
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      if (buffers[i].defined())
        buffers[i] = buffers[i].detach().to(parameters_[i].device(), false, /*copy=*/true);
    }
    momentum_buffers_ = std::move(buffers);
  }

 private:
  std::vector<at::Tensor> parameters_;
  OptimizerOptions options_;
  std::vector<at::Tensor> momentum_buffers_;  // one a parameter; undefined before its first gradient
};

}  // namespace

std::unique_ptr<Optimizer> make_sgd(std::vector<at::Tensor> parameters, const OptimizerOptions& options) {
  return std::make_unique<Sgd>(std::move(parameters), options);
}

}  // namespace lockstep
