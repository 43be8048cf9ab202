// Adam and AdamW: torch/optim/adam.py, _single_tensor_adam, operation by operation (no amsgrad). LibTorch's
// C++ optimizers differ from it in the last bits: they have no lerp.
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "trainer/optim/elementwise_optimizer.h"
#include "trainer/optim/factories.h"
#include "trainer/optim/fused_update.h"
#include "trainer/optim/options_check.h"

namespace lockstep {
namespace {

constexpr std::size_t kStep = 0;
constexpr std::size_t kExpAvg = 1;
constexpr std::size_t kExpAvgSq = 2;

constexpr std::int64_t kBlock = 8192;  // elements that stay in the first-level cache between two kernels

class Adam final : public ElementwiseOptimizer {
 public:
  // `decoupled`: weight decay shrinks the parameter (AdamW), else it is an L2 term of the gradient.
  Adam(std::string name, bool decoupled, std::vector<at::Tensor> parameters, const OptimizerOptions& options)
      : ElementwiseOptimizer(std::move(name), std::move(parameters), options,
                             {{"step", false}, {"exp_avg", true}, {"exp_avg_sq", true}}),
        decoupled_(decoupled) {
    require_beta("beta1", options.beta1);
    require_beta("beta2", options.beta2);
    require_non_negative("eps", options.eps);
    check_fused();
  }

  void set_momentum(double momentum) override {
    require_beta("beta1", momentum);
    // Where lerp changes its formula the fused kernel, which was checked for one side, does not follow.
    if ((momentum > 0.5) != (options_.beta1 > 0.5)) {
      throw std::invalid_argument(name() + " cannot change beta1 across 0.5");
    }
    options_.beta1 = momentum;
  }

 protected:
  void apply(Piece piece) const override {
    const Scalars s = scalars(piece.memory[kStep].item<float>());
    at::Tensor grad = piece.grad;
    if (options_.weight_decay != 0 && decoupled_)
      piece.parameter.mul_(1 - options_.lr * options_.weight_decay);
    if (options_.weight_decay != 0 && !decoupled_) grad = grad.add(piece.parameter, options_.weight_decay);
    at::Tensor& exp_avg = piece.memory[kExpAvg];
    at::Tensor& exp_avg_sq = piece.memory[kExpAvgSq];
    exp_avg.lerp_(grad, 1 - options_.beta1);
    exp_avg_sq.mul_(options_.beta2).addcmul_(grad, grad, 1 - options_.beta2);
    const at::Tensor denom = exp_avg_sq.sqrt().div(s.bias_correction2_sqrt).add_(options_.eps);
    piece.parameter.addcdiv_(exp_avg, denom, -s.step_size);
  }

  void apply_kernels(const PieceList& pieces, const at::Tensor& found_inf) const override {
    const std::optional<at::Tensor> unless = found_inf.defined() ? std::optional(found_inf) : std::nullopt;
    const auto update = [&](auto kernel, const auto& lr) {
      kernel(pieces.parameters, pieces.grads, pieces.memory[kExpAvg], pieces.memory[kExpAvgSq],
             /*max_exp_avg_sqs=*/{}, pieces.memory[kStep], lr, options_.beta1, options_.beta2,
             options_.weight_decay, options_.eps, /*amsgrad=*/false, /*maximize=*/false, /*grad_scale=*/{},
             unless);
    };
    if (lr_tensor().defined()) {
      update(decoupled_ ? &at::_ops::_fused_adamw__tensor_lr::call : &at::_ops::_fused_adam__tensor_lr::call,
             lr_tensor());
    } else {
      update(decoupled_ ? &at::_ops::_fused_adamw_::call : &at::_ops::_fused_adam_::call, options_.lr);
    }
  }

  void apply_fused(const FusedPiece& piece) const override {
    const Scalars s = scalars(*piece.memory[kStep]);
    const double decay = options_.weight_decay;
    for (std::int64_t begin = 0; begin < piece.count; begin += kBlock) {
      const std::int64_t count = std::min(kBlock, piece.count - begin);
      float* const exp_avg = piece.memory[kExpAvg] + begin;
      float* const exp_avg_sq = piece.memory[kExpAvgSq] + begin;
      update_kernels().adam_moments(
          {piece.parameter + begin, exp_avg, exp_avg_sq, piece.grad + begin, count,
           static_cast<float>(decoupled_ ? 0.0 : decay), static_cast<float>(1 - options_.beta1),
           static_cast<float>(options_.beta2), static_cast<float>(1 - options_.beta2)});
      const at::Tensor root = at::from_blob(exp_avg_sq, {count}).sqrt();
      update_kernels().adam_parameters({piece.parameter + begin, exp_avg, root.const_data_ptr<float>(), count,
                                        static_cast<float>(decoupled_ ? 1 - options_.lr * decay : 1.0),
                                        static_cast<float>(s.bias_correction2_sqrt),
                                        static_cast<float>(options_.eps), static_cast<float>(s.step_size)});
    }
  }

  std::string refusal(const std::string& /*entry*/) const override {
    return "is nothing that " + name() + " keeps";
  }

 private:
  // The scalars are computed in double and in this order, as Python does.
  struct Scalars {
    double bias_correction2_sqrt;
    double step_size;
  };
  Scalars scalars(double step) const {
    const double bias_correction1 = 1 - std::pow(options_.beta1, step);
    const double bias_correction2 = 1 - std::pow(options_.beta2, step);
    return {std::pow(bias_correction2, 0.5), options_.lr / bias_correction1};
  }

  const bool decoupled_;
};

}  // namespace

std::unique_ptr<ElementwiseOptimizer> make_adam(std::vector<at::Tensor> parameters,
                                                const OptimizerOptions& options) {
  return std::make_unique<Adam>("adam", false, std::move(parameters), options);
}

std::unique_ptr<ElementwiseOptimizer> make_adamw(std::vector<at::Tensor> parameters,
                                                 const OptimizerOptions& options) {
  return std::make_unique<Adam>("adamw", true, std::move(parameters), options);
}

}  // namespace lockstep
