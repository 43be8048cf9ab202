// Stochastic gradient descent with momentum and L2 weight decay: torch/optim/sgd.py, _single_tensor_sgd,
// operation by operation.
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/add.h>

#include <optional>
#include <stdexcept>

#include "trainer/optim/elementwise_optimizer.h"
#include "trainer/optim/factories.h"
#include "trainer/optim/fused_update.h"
#include "trainer/optim/options_check.h"

namespace lockstep {
namespace {

constexpr const char* kMomentumBuffer = "momentum_buffer";

std::vector<OptimizerMemory> memory_of(const OptimizerOptions& options) {
  if (options.momentum == 0) return {};
  return {{kMomentumBuffer, true}};
}

class Sgd final : public ElementwiseOptimizer {
 public:
  Sgd(std::vector<at::Tensor> parameters, const OptimizerOptions& options)
      : ElementwiseOptimizer("sgd", std::move(parameters), options, memory_of(options)) {
    require_non_negative("momentum", options.momentum);
    require_non_negative("dampening", options.dampening);
    if (options.nesterov && (options.momentum == 0 || options.dampening != 0)) {
      throw std::invalid_argument("Nesterov's momentum needs a momentum above 0 and a dampening of 0");
    }
    check_fused();
  }

  void set_momentum(double momentum) override {
    require_non_negative("momentum", momentum);
    if ((momentum == 0) != (options_.momentum == 0)) {
      throw std::invalid_argument("sgd cannot change between a momentum of 0 and another one");
    }
    options_.momentum = momentum;
  }

 protected:
  void apply(Piece piece) const override {
    at::Tensor grad = piece.grad;
    if (options_.weight_decay != 0) grad = grad.add(piece.parameter, options_.weight_decay);
    if (options_.momentum != 0) {
      at::Tensor& buffer = piece.memory[0];
      if (piece.first) {
        buffer.copy_(grad);  // PyTorch starts from the gradient, not from zero
      } else {
        buffer.mul_(options_.momentum).add_(grad, 1 - options_.dampening);
      }
      grad = options_.nesterov ? grad.add(buffer, options_.momentum) : buffer;
    }
    piece.parameter.add_(grad, -options_.lr);
  }

  void apply_kernels(const PieceList& pieces, const at::Tensor& found_inf) const override {
    const std::optional<at::Tensor> unless = found_inf.defined() ? std::optional(found_inf) : std::nullopt;
    const auto update = [&](const auto& lr) {
      at::_fused_sgd_(pieces.parameters, pieces.grads, pieces.memory[0], options_.weight_decay,
                      options_.momentum, lr, options_.dampening, options_.nesterov, /*maximize=*/false,
                      /*is_first_step=*/pieces.first && options_.momentum != 0, /*grad_scale=*/{}, unless);
    };
    lr_tensor().defined() ? update(lr_tensor()) : update(options_.lr);
  }

  void apply_fused(const FusedPiece& piece) const override {
    update_kernels().sgd({piece.parameter, options_.momentum != 0 ? piece.memory[0] : nullptr, piece.grad,
                          piece.count, static_cast<float>(options_.lr), static_cast<float>(options_.momentum),
                          static_cast<float>(1 - options_.dampening),
                          static_cast<float>(options_.weight_decay), piece.first, options_.nesterov});
  }

  std::string refusal(const std::string& entry) const override {
    return entry == kMomentumBuffer ? "belongs to a momentum other than 0" : "is nothing that sgd keeps";
  }
};

}  // namespace

std::unique_ptr<ElementwiseOptimizer> make_sgd(std::vector<at::Tensor> parameters,
                                               const OptimizerOptions& options) {
  return std::make_unique<Sgd>(std::move(parameters), options);
}

}  // namespace lockstep
