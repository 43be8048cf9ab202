// Gradients of several batches add up in float32, whatever the batches were computed in.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include "comm/distributed_data_parallel.h"
#include "tests/comm/rank_threads.h"
#include "trainer/precision.h"

namespace lockstep {
namespace {

struct Product : torch::nn::Module {
  Product() { weight = register_parameter("weight", at::ones({1, 1})); }
  at::Tensor forward(const at::Tensor& x) { return at::linear(x, weight); }
  at::Tensor weight;
};

// The gradient of a batch is the sum of its samples. 256 and 1 are bfloat16 numbers, but 257 is not: it would
// be rounded to 256.
TEST(Accumulation, IsInFloat32WithMixedPrecision) {
  testing::run_ranks(1, [](Communicator& comm) {
    DistributedDataParallel<Product> ddp(std::make_shared<Product>(), {&comm, [](Communicator*) {}});
    const auto pass = [&](float sample) {
      at::Tensor output;
      {
        const AutocastGuard autocast(Precision::kBf16Mixed, at::kCPU);
        output = ddp.forward(at::full({1, 1}, sample));
      }
      EXPECT_EQ(output.scalar_type(), at::kBFloat16);
      output.sum().backward();
    };
    {
      const auto no_sync = ddp.no_sync();
      pass(256.0F);
    }
    pass(1.0F);
    const at::Tensor& gradient = ddp.module().weight.grad();
    EXPECT_EQ(gradient.scalar_type(), at::kFloat);
    EXPECT_EQ(gradient.item<float>(), 257.0F);
  });
}

}  // namespace
}  // namespace lockstep
