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
  bool per_element;  // like the parameter; else a count of steps, () float32, on the CPU unless kernels are
                     // fused
};

class ElementwiseOptimizer : public Optimizer {
 public:
  ElementwiseOptimizer(std::string name, std::vector<at::Tensor> parameters, const OptimizerOptions& options,
                       std::vector<OptimizerMemory> memory);

  void step() final;
  // With OptimizerOptions::fused the host reads found_inf only where a parameter has its first gradient.
  void step_unless(const at::Tensor& found_inf) final;
  void zero_grad() final;
  bool is_repeatable() const final;
  std::string name() const final { return name_; }
  double lr() const final { return options_.lr; }
  void set_lr(double lr) final;
  std::vector<OptimizerStateEntry> state() final;
  void load_state(const std::vector<OptimizerStateEntry>& entries) final;

  const std::vector<OptimizerMemory>& memory_kinds() const { return kinds_; }
  // Throws what load_state() would throw if the optimizer's parameters were these.
  void check_state(const std::vector<OptimizerStateEntry>& entries,
                   const std::vector<at::Tensor>& parameters) const;

  struct IndexedGradient {
    std::size_t index = 0;  // of the parameter
    at::Tensor grad;        // of its shape, dtype and device
  };
  // A step of these parameters alone, each at most once. `found_inf` as step_unless() has it, or undefined;
  // only with OptimizerOptions::fused, and for parameters that remembers() them.
  void update_with(const std::vector<IndexedGradient>& gradients, const at::Tensor& found_inf = {});
  // Whether there is what the rule remembers of parameter `index`.
  bool remembers(std::size_t index) const { return kinds_.empty() || remembered_[index].memory[0].defined(); }

  // A step of parameter `index` in pieces: begin_update() once, then update() for each range of its elements
  // (in the order of memory) with `grad`, the `count` elements of their gradient, of the parameter's dtype
  // and device. Only for parameters that are dense; the bits are those of step(). With
  // OptimizerOptions::fused begin_update() throws std::logic_error.
  void begin_update(std::size_t index);
  void update(std::size_t index, std::int64_t begin, const void* grad, std::int64_t count);

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
  // The same as ranges of memory.
  struct FusedPiece {
    float* parameter;
    const float* grad;
    std::array<float*, kMostMemory> memory;  // the one element of what is not per element
    std::int64_t count;
    bool first;
  };
  // Pieces of several parameters, in columns.
  struct PieceList {
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> grads;
    std::array<std::vector<at::Tensor>, kMostMemory> memory;
    bool first = false;  // of all of them
    void add(const Piece& piece, std::size_t kinds);
  };
  // With LibTorch's operations, in PyTorch's order.
  virtual void apply(Piece piece) const = 0;
  // With LibTorch's fused kernels. `found_inf`, where defined: a 0-dim tensor; other than 0, nothing changes.
  virtual void apply_kernels(const PieceList& pieces, const at::Tensor& found_inf) const = 0;
  // In one pass, if check_fused() found it to have the same bits.
  virtual void apply_fused(const FusedPiece& piece) const = 0;
  // LibTorch's rounding is not documented, so it is asked: to be called at the end of a constructor.
  void check_fused();
  // Why an entry of that name has no place here.
  virtual std::string refusal(const std::string& entry) const = 0;

  // The learning rate, 0-dim, with OptimizerOptions::lr_on_device; undefined otherwise.
  const at::Tensor& lr_tensor() const { return lr_tensor_; }

  OptimizerOptions options_;

 private:
  struct Remembered {
    Memory memory;
    bool first = false;
    bool fused = false;  // float32 on the CPU, all in one order of memory
  };
  at::Tensor zeros_for(std::size_t kind, const at::Tensor& parameter) const;
  void make_memory(std::size_t index);
  std::vector<IndexedGradient> own_gradients() const;
  void update_with_kernels(const std::vector<IndexedGradient>& gradients, const at::Tensor& found_inf);
  FusedPiece fused_piece(std::size_t index, std::int64_t begin, const void* grad, std::int64_t count) const;
  void run_fused(const FusedPiece& piece) const;

  std::string name_;
  bool fuses_ = false;
  std::vector<at::Tensor> parameters_;
  std::vector<OptimizerMemory> kinds_;
  at::Tensor lr_tensor_;
  std::vector<Remembered> remembered_;  // by parameter; tensors are undefined before its first gradient
};

}  // namespace lockstep
