// Optimizer: PyTorch's update rules, with the bits of PyTorch's Python optimizers.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lockstep {

struct OptimizerOptions {
  double lr = 0.01;
  double momentum = 0.0;   // sgd
  double dampening = 0.0;  // sgd
  bool nesterov = false;   // sgd
  double weight_decay = 0.0;
  double beta1 = 0.9;  // adam, adamw
  double beta2 = 0.999;
  double eps = 1e-8;
  // LibTorch's fused kernels, with the bits of Python's fused=True: one launch for many parameters, no wait
  // for a GPU. Otherwise Python's default on the CPU, parameter by parameter.
  bool fused = false;
  // With fused: the kernels read the learning rate from a tensor beside the parameters, so that what is
  // captured in a CUDA graph follows set_lr(). On a GPU it is a float32, as PyTorch has it there: the rate is
  // rounded.
  bool lr_on_device = false;
};

// One tensor of an optimizer's memory: of parameter `parameter_index` (registration order), named as in
// Python's state_dict()["state"][index]: "momentum_buffer", or "step", "exp_avg" and "exp_avg_sq".
struct OptimizerStateEntry {
  std::int64_t parameter_index;
  std::string name;
  at::Tensor value;
};

// Updates parameters in place from their .grad; parameters without a gradient are left alone, as in PyTorch.
// Not thread-safe. Issues no communication, but for ShardedOptimizer: all ranks step with the same gradients
// and stay equal.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  virtual void step() = 0;
  // The same unless `found_inf`, as GradScaler::unscale() returns it, is other than 0. Reads it on the host,
  // which waits for a GPU, unless said otherwise.
  virtual void step_unless(const at::Tensor& found_inf);
  // Drops the gradients (sets them to none), as PyTorch does by default.
  virtual void zero_grad() = 0;
  // Whether each step from now on queues the same work on the same memory and reads nothing on the host: it
  // may be captured in a CUDA graph. What was captured follows set_lr() with lr_on_device only, and
  // set_momentum() never.
  virtual bool is_repeatable() const { return false; }
  virtual std::string name() const = 0;
  virtual double lr() const = 0;
  virtual void set_lr(double lr) = 0;
  // Momentum of sgd, beta1 of adam and adamw. An sgd that began without momentum stays without: throws
  // std::invalid_argument.
  virtual void set_momentum(double momentum) = 0;

  // Everything it remembers between steps; the tensors may be its own, not copies.
  virtual std::vector<OptimizerStateEntry> state() = 0;
  // Replaces the memory by copies of `entries`. Throws DataError, naming all of them, if names or shapes do
  // not fit.
  virtual void load_state(const std::vector<OptimizerStateEntry>& entries) = 0;
};

class ElementwiseOptimizer;

// `name` is one of optimizer_names(). Throws std::invalid_argument for an unknown one, or for options that
// PyTorch refuses as well (negative or NaN learning rate, betas outside [0, 1), ...).
std::unique_ptr<Optimizer> create_optimizer(const std::string& name, std::vector<at::Tensor> parameters,
                                            const OptimizerOptions& options);

// The same for updates in pieces (trainer/optim/elementwise_optimizer.h).
std::unique_ptr<ElementwiseOptimizer> create_elementwise_optimizer(const std::string& name,
                                                                   std::vector<at::Tensor> parameters,
                                                                   const OptimizerOptions& options);

std::vector<std::string> optimizer_names();

}  // namespace lockstep
