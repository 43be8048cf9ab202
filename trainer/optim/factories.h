// What each optimizer's file gives to the table in optimizer.cpp. Not for use outside this folder.
#pragma once

#include <memory>
#include <vector>

#include "trainer/optim/elementwise_optimizer.h"

namespace lockstep {

std::unique_ptr<ElementwiseOptimizer> make_sgd(std::vector<at::Tensor> parameters,
                                               const OptimizerOptions& options);
std::unique_ptr<ElementwiseOptimizer> make_adam(std::vector<at::Tensor> parameters,
                                                const OptimizerOptions& options);
std::unique_ptr<ElementwiseOptimizer> make_adamw(std::vector<at::Tensor> parameters,
                                                 const OptimizerOptions& options);

}  // namespace lockstep
