// Checks that every optimizer's file makes on what it is given. Not for use outside this folder.
#pragma once

#include <string>

#include "trainer/optim/optimizer.h"

namespace lockstep {

// Throws std::invalid_argument unless `value` is finite and not negative: "learning rate must be ..., not
// nan".
void require_non_negative(const std::string& what, double value);
// Throws std::invalid_argument unless `value` is in [0, 1).
void require_beta(const std::string& what, double value);
// Throws std::invalid_argument as Python's Optimizer does: no parameters at all, one given twice, one that is
// undefined, not floating-point or not a leaf of the autograd graph.
void require_parameters(const std::vector<at::Tensor>& parameters);

// Collects what is wrong with the entries of a load_state(), so that all of it is said in one line.
class StateComplaints {
 public:
  explicit StateComplaints(std::string optimizer) : optimizer_(std::move(optimizer)) {}
  void add(const OptimizerStateEntry& entry, const std::string& reason);
  // Adds a complaint unless the tensor has that dtype and those sizes.
  void require_like(const OptimizerStateEntry& entry, at::ScalarType type, at::IntArrayRef sizes);
  // Throws DataError if there were any.
  void finish() const;

 private:
  std::string optimizer_;
  std::string complaints_;
};

}  // namespace lockstep
