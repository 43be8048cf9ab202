// Stochastic gradient descent with momentum and L2 weight decay: torch/optim/sgd.py, _single_tensor_sgd,
// operation by operation (dampening 0, no Nesterov).
#include <ATen/ops/add.h>
#include <ATen/ops/equal.h>

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
    fuses_ = fused_has_the_same_bits();
  }

 protected:
  void begin(Memory& /*memory*/) const override {}

  void apply(Piece piece) const override {
    const bool remembers = options_.momentum != 0;
    if (fuses_ && can_fuse({piece.parameter, piece.grad, remembers ? piece.memory[0] : piece.grad})) {
      apply_fused(piece);
    } else {
      apply_with_libtorch(piece);
    }
  }

  std::string refusal(const std::string& entry) const override {
    return entry == kMomentumBuffer ? "belongs to a momentum other than 0" : "is nothing that sgd keeps";
  }

 private:
  void apply_with_libtorch(Piece& piece) const {
    at::Tensor grad = piece.grad;
    if (options_.weight_decay != 0) grad = grad.add(piece.parameter, options_.weight_decay);
    if (options_.momentum != 0) {
      at::Tensor& buffer = piece.memory[0];
      if (piece.first) {
        buffer.copy_(grad);  // PyTorch starts from the gradient, not from zero
      } else {
        buffer.mul_(options_.momentum).add_(grad, 1.0);
      }
      grad = buffer;
    }
    piece.parameter.add_(grad, -options_.lr);
  }

  void apply_fused(const Piece& piece) const {
    float* parameter = piece.parameter.data_ptr<float>();
    float* buffer = options_.momentum != 0 ? piece.memory[0].data_ptr<float>() : nullptr;
    const float* grad = piece.grad.const_data_ptr<float>();
    in_parallel(piece.parameter.numel(), [&](std::int64_t begin, std::int64_t end) {
      update_kernels().sgd({parameter + begin, buffer == nullptr ? nullptr : buffer + begin, grad + begin,
                            end - begin, static_cast<float>(options_.lr),
                            static_cast<float>(options_.momentum), static_cast<float>(options_.weight_decay),
                            piece.first});
    });
  }

  // LibTorch's rounding is not documented, so it is asked, once for each optimizer.
  bool fused_has_the_same_bits() const {
    const auto pieces = [&] { return Piece{test_values(1), test_values(2), {test_values(3)}, false}; };
    Piece fused = pieces();
    Piece reference = pieces();
    apply_fused(fused);
    apply_with_libtorch(reference);
    return at::equal(fused.parameter, reference.parameter) && at::equal(fused.memory[0], reference.memory[0]);
  }

  bool fuses_ = false;
};

}  // namespace

std::unique_ptr<ElementwiseOptimizer> make_sgd(std::vector<at::Tensor> parameters,
                                               const OptimizerOptions& options) {
  return std::make_unique<Sgd>(std::move(parameters), options);
}

}  // namespace lockstep
