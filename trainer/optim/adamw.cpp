// AdamW (Loshchilov and Hutter 2017): torch/optim/adam.py, _single_tensor_adam with decoupled weight decay,
// operation by operation. LibTorch's C++ AdamW differs from it in the last bits: it has no lerp.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <array>
#include <cmath>

#include "trainer/optim/factories.h"
#include "trainer/optim/options_check.h"

namespace lockstep {
namespace {

// What it remembers of one parameter; all undefined before its first gradient.
struct Moments {
  at::Tensor step;        // () float32 on the CPU, as in Python
  at::Tensor exp_avg;     // like the parameter
  at::Tensor exp_avg_sq;  // like the parameter
};

struct NamedMoment {
  const char* name;
  at::Tensor Moments::*tensor;
};

constexpr std::array kMoments{
    NamedMoment{"step", &Moments::step},
    NamedMoment{"exp_avg", &Moments::exp_avg},
    NamedMoment{"exp_avg_sq", &Moments::exp_avg_sq},
};

class AdamW final : public Optimizer {
 public:
  AdamW(std::vector<at::Tensor> parameters, const OptimizerOptions& options)
      : parameters_(std::move(parameters)), options_(options), moments_(parameters_.size()) {
    require_beta("beta1", options_.beta1);
    require_beta("beta2", options_.beta2);
    require_non_negative("eps", options_.eps);
  }

  void step() override {
    const at::NoGradGuard no_grad;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (parameters_[i].grad().defined()) update(parameters_[i], moments_[i]);
    }
  }

  void zero_grad() override {
    for (at::Tensor& parameter : parameters_) parameter.mutable_grad().reset();
  }
  std::string name() const override { return "adamw"; }
  double lr() const override { return options_.lr; }
  void set_lr(double lr) override {
    require_non_negative("learning rate", lr);
    options_.lr = lr;
  }

  std::vector<OptimizerStateEntry> state() const override {
    std::vector<OptimizerStateEntry> entries;
    for (std::size_t i = 0; i < moments_.size(); ++i) {
      for (const NamedMoment& moment : kMoments) {
        const at::Tensor& value = moments_[i].*moment.tensor;
        if (value.defined()) entries.push_back({static_cast<std::int64_t>(i), moment.name, value});
      }
    }
    return entries;
  }

  void load_state(const std::vector<OptimizerStateEntry>& entries) override {
    std::vector<Moments> loaded(parameters_.size());
    StateComplaints complaints("adamw");
    for (const OptimizerStateEntry& entry : entries) place(entry, loaded, complaints);
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      for (const NamedMoment& moment : kMoments) {
        const bool any =
            loaded[i].step.defined() || loaded[i].exp_avg.defined() || loaded[i].exp_avg_sq.defined();
        if (any && !(loaded[i].*moment.tensor).defined()) {
          complaints.add({static_cast<std::int64_t>(i), moment.name, {}}, "is missing");
        }
      }
    }
    complaints.finish();
    for (std::size_t i = 0; i < loaded.size(); ++i) {
      for (const NamedMoment& moment : kMoments) {
        at::Tensor& value = loaded[i].*moment.tensor;
        const at::Device device = moment.tensor == &Moments::step ? at::kCPU : parameters_[i].device();
        if (value.defined()) value = value.detach().to(device, false, /*copy=*/true);
      }
    }
    moments_ = std::move(loaded);
  }

 private:
  // The scalars are computed in double and in this order, as Python does.
  void update(at::Tensor& parameter, Moments& moments) const {
    const at::Tensor& grad = parameter.grad();
    if (!moments.step.defined()) {
      moments.step = at::zeros({}, at::TensorOptions().dtype(at::kFloat));
      moments.exp_avg = at::zeros_like(parameter);
      moments.exp_avg_sq = at::zeros_like(parameter);
    }
    moments.step.add_(1);
    if (options_.weight_decay != 0) parameter.mul_(1 - options_.lr * options_.weight_decay);

    moments.exp_avg.lerp_(grad, 1 - options_.beta1);
    moments.exp_avg_sq.mul_(options_.beta2).addcmul_(grad, grad, 1 - options_.beta2);

    const double step = moments.step.item<float>();
    const double bias_correction1 = 1 - std::pow(options_.beta1, step);
    const double bias_correction2 = 1 - std::pow(options_.beta2, step);
    const double step_size = options_.lr / bias_correction1;
    const double bias_correction2_sqrt = std::pow(bias_correction2, 0.5);

    const at::Tensor denom = moments.exp_avg_sq.sqrt().div(bias_correction2_sqrt).add_(options_.eps);
    parameter.addcdiv_(moments.exp_avg, denom, -step_size);
  }

  void place(const OptimizerStateEntry& entry, std::vector<Moments>& loaded,
             StateComplaints& complaints) const {
    const auto i = static_cast<std::size_t>(entry.parameter_index);
    if (entry.parameter_index < 0 || i >= parameters_.size()) {
      complaints.add(entry, "belongs to no parameter (there are " + std::to_string(parameters_.size()) + ")");
      return;
    }
    for (const NamedMoment& moment : kMoments) {
      if (entry.name != moment.name) continue;
      if ((loaded[i].*moment.tensor).defined()) {
        complaints.add(entry, "is given twice");
      } else if (moment.tensor == &Moments::step) {
        complaints.require_like(entry, at::kFloat, {});
      } else {
        complaints.require_like(entry, parameters_[i].scalar_type(), parameters_[i].sizes());
      }
      loaded[i].*moment.tensor = entry.value;
      return;
    }
    complaints.add(entry, "is nothing that adamw keeps");
  }

  std::vector<at::Tensor> parameters_;
  OptimizerOptions options_;
  std::vector<Moments> moments_;
};

}  // namespace

std::unique_ptr<Optimizer> make_adamw(std::vector<at::Tensor> parameters, const OptimizerOptions& options) {
  return std::make_unique<AdamW>(std::move(parameters), options);
}

}  // namespace lockstep
