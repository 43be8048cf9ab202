// ElementwiseOptimizer: what update rules have in common that treat every element by itself, so that a step
// may be done in pieces and by several ranks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "trainer/optim/optimizer.h"

namespace lockstep {

// The elements of a dense tensor in the order of memory, 1-D, whatever the strides.
at::Tensor flat_view(const at::Tensor& dense);

// A tensor that a rule remembers of each parameter.
struct OptimizerMemory {
  const char* name;  // as in Python's state_dict()
  bool per_element;  // like the parameter; else () float32 on the CPU
};

class ElementwiseOptimizer : public Optimizer {
 public:
  ElementwiseOptimizer(std::string name, std::vector<at::Tensor> parameters, const OptimizerOptions& options,
                       std::vector<OptimizerMemory> memory);

  void step() final;
  void zero_grad() final;
  std::string name() const final { return name_; }
  double lr() const final { return options_.lr; }
  void set_lr(double lr) final;
  std::vector<OptimizerStateEntry> state() final;
  void load_state(const std::vector<OptimizerStateEntry>& entries) final;

  const std::vector<OptimizerMemory>& memory_kinds() const { return kinds_; }
  // Throws what load_state() would throw if the optimizer's parameters were these.
  void check_state(const std::vector<OptimizerStateEntry>& entries,
                   const std::vector<at::Tensor>& parameters) const;

  // A step of parameter `index` in pieces: begin_update() once, then update() for each range of its elements
  // (in the order of memory) with their gradient, 1-D of the parameter's dtype. Only for parameters that are
  // dense; the bits are those of step().
  void begin_update(std::size_t index);
  void update(std::size_t index, std::int64_t begin, const at::Tensor& grad);

 protected:
  static constexpr std::size_t kMostMemory = 3;
  using Memory = std::array<at::Tensor, kMostMemory>;  // in the order of the constructor's list

  // Part of a parameter, its gradient and what is remembered of it, all of one shape.
  struct Piece {
    at::Tensor parameter;
    at::Tensor grad;
    Memory memory;
    bool first = false;  // the first step of this parameter: memory is zeroed
  };
  // A step of a parameter begins: counters.
  virtual void begin(Memory& memory) const = 0;
  virtual void apply(Piece piece) const = 0;
  // Why an entry of that name has no place here.
  virtual std::string refusal(const std::string& entry) const = 0;

  OptimizerOptions options_;

 private:
  struct Remembered {
    Memory memory;
    bool first = false;
  };
  std::string name_;
  std::vector<at::Tensor> parameters_;
  std::vector<OptimizerMemory> kinds_;
  std::vector<Remembered> remembered_;  // by parameter; tensors are undefined before its first gradient
};

}  // namespace lockstep
