// Unused parameters, uneven inputs and compressed gradients against PyTorch's DistributedDataParallel, byte
// for byte. tests/reference/ddp_features.py is the other side.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/batchnorm.h>
#include <torch/nn/modules/linear.h>

#include "comm/distributed_data_parallel.h"
#include "tests/comm/rank_threads.h"
#include "tests/reference/reference_file.h"

namespace lockstep {
namespace {

using Reference = std::map<std::string, at::Tensor>;

constexpr double kLearningRate = 0.1;

struct Branches : torch::nn::Module {
  Branches() {
    stem = register_module("stem", torch::nn::Linear(5, 300));
    left = register_module("left", torch::nn::Linear(300, 3));
    right = register_module("right", torch::nn::Linear(300, 3));
    never = register_module("never", torch::nn::Linear(3, 3));
  }
  at::Tensor forward(const at::Tensor& x, bool takes_left) {
    const at::Tensor hidden = stem(x).relu();
    return takes_left ? left(hidden) : right(hidden);
  }
  torch::nn::Linear stem{nullptr}, left{nullptr}, right{nullptr}, never{nullptr};
};

struct Net : torch::nn::Module {
  Net() {
    first = register_module("first", torch::nn::Linear(5, 300));
    norm = register_module("norm", torch::nn::BatchNorm1d(300));
    last = register_module("last", torch::nn::Linear(300, 3));
  }
  at::Tensor forward(const at::Tensor& x) { return last(norm(first(x)).relu()); }
  torch::nn::Linear first{nullptr}, last{nullptr};
  torch::nn::BatchNorm1d norm{nullptr};
};

at::Tensor inputs_of(int rank, int step) {
  return (at::arange(20, at::kFloat).view({4, 5}) * (rank + 1) + step).remainder(7.0) / 3 - 1;
}

template <typename M>
std::shared_ptr<M> module_of(const Reference& reference) {
  const at::NoGradGuard no_grad;
  auto module = std::make_shared<M>();
  for (const auto& item : module->named_parameters())
    item.value().copy_(reference.at("initial." + item.key()));
  for (const auto& item : module->named_buffers()) item.value().copy_(reference.at("initial." + item.key()));
  return module;
}

void update(torch::nn::Module& module) {
  const at::NoGradGuard no_grad;
  for (const at::Tensor& parameter : module.parameters()) {
    if (parameter.grad().defined()) parameter.sub_(parameter.grad() * kLearningRate);
  }
}

void expect_gradients(const torch::nn::Module& module, const Reference& reference, int step) {
  for (const auto& item : module.named_parameters()) {
    const auto expected = reference.find("step" + std::to_string(step) + "." + item.key());
    ASSERT_EQ(item.value().grad().defined(), expected != reference.end()) << step << " " << item.key();
    if (expected == reference.end()) continue;
    EXPECT_TRUE(same_bits(item.value().grad(), expected->second)) << step << " " << item.key();
  }
}

class DdpParityTest : public ::testing::TestWithParam<int> {
 protected:
  int world_size() const { return GetParam(); }
  Reference reference(const std::string& name) const {
    return read_reference(name + "_" + std::to_string(world_size()) + ".safetensors");
  }
  void compare_compressed(const std::string& hook) const {
    const Reference expected = reference(hook);
    testing::run_ranks(world_size(), [&](Communicator& comm) {
      DdpOptions options;
      options.reducer.hook = create_communication_hook(hook);
      DistributedDataParallel<Net> ddp(module_of<Net>(expected), {&comm, [](Communicator*) {}}, options);
      for (int step = 0; step < 3; ++step) {
        ddp.module().zero_grad();
        ddp.forward(inputs_of(comm.rank(), step)).square().mean().backward();
        expect_gradients(ddp.module(), expected, step);
        update(ddp.module());
      }
    });
  }
};

TEST_P(DdpParityTest, GradientsCompressedToFloat16) {
  compare_compressed("fp16");
}

TEST_P(DdpParityTest, GradientsCompressedToBfloat16) {
  compare_compressed("bf16");
}

TEST_P(DdpParityTest, UnusedParameters) {
  const Reference expected = reference("unused");
  testing::run_ranks(world_size(), [&](Communicator& comm) {
    DdpOptions options;
    options.reducer.find_unused_parameters = true;
    DistributedDataParallel<Branches> ddp(module_of<Branches>(expected), {&comm, [](Communicator*) {}},
                                          options);
    for (int step = 0; step < 4; ++step) {
      ddp.module().zero_grad();
      const bool left = step == 3 || (comm.rank() + step) % 2 == 0;
      ddp.forward(inputs_of(comm.rank(), step), left).square().mean().backward();
      expect_gradients(ddp.module(), expected, step);
      update(ddp.module());
    }
  });
}

// Rank r has r + 1 batches, but rank 0 has none where there are three.
TEST_P(DdpParityTest, UnevenInputs) {
  const Reference expected = reference("join");
  testing::run_ranks(world_size(), [&](Communicator& comm) {
    DistributedDataParallel<Net> ddp(module_of<Net>(expected), {&comm, [](Communicator*) {}});
    const int batches = world_size() == 3 && comm.rank() == 0 ? 0 : comm.rank() + 1;
    ddp.join([&] {
      for (int step = 0; step < batches; ++step) {
        ddp.module().zero_grad();
        ddp.forward(inputs_of(comm.rank(), step)).square().mean().backward();
        update(ddp.module());
      }
    });
    for (const auto& item : ddp.module().named_parameters())
      EXPECT_TRUE(same_bits(item.value(), expected.at("final." + item.key()))) << item.key();
    for (const auto& item : ddp.module().named_buffers())
      EXPECT_TRUE(same_bits(item.value(), expected.at("final." + item.key()))) << item.key();
  });
}

INSTANTIATE_TEST_SUITE_P(WorldSizes, DdpParityTest, ::testing::Values(2, 3));

}  // namespace
}  // namespace lockstep
