// What a computation without checkpoint() gives says what one with it has to give, to the bit.
#include "trainer/recompute/activation_checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/batchnorm.h>

#include <optional>

#include "tests/trainer/config/refusal.h"
#include "trainer/random_state.h"

namespace lockstep {
namespace {

using Tensors = std::vector<at::Tensor>;

at::Tensor numbers(at::IntArrayRef sizes, double frequency) {
  return at::arange(c10::multiply_integers(sizes), at::kDouble)
      .mul(frequency)
      .sin()
      .view(sizes)
      .to(at::kFloat);
}

// Two products with dropout between them; counts its calls.
struct Network {
  at::Tensor first = numbers({6, 8}, 0.7).requires_grad_();
  at::Tensor second = numbers({8, 3}, 0.3).requires_grad_();
  int calls = 0;
  std::optional<c10::weak_intrusive_ptr<c10::StorageImpl>> hidden_memory;

  CheckpointedFunction function() {
    return [this](const Tensors& inputs) {
      ++calls;
      const at::Tensor hidden = at::tanh(inputs[0].matmul(first));
      hidden_memory.emplace(hidden.storage().getWeakStorageImpl());
      return at::dropout(hidden, 0.5, /*train=*/true).matmul(second);
    };
  }
};

// Bfloat16 on the CPU while it lives.
class Autocast {
 public:
  explicit Autocast(bool enabled) {
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, enabled);
  }
  ~Autocast() {
    at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(at::kCPU, false);
  }
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;
};

// What a step leaves behind.
struct Outcome {
  at::Tensor output;
  Tensors gradients;
  at::Tensor random_state;
};

void expect_equal(const Outcome& actual, const Outcome& expected) {
  EXPECT_TRUE(at::equal(actual.output, expected.output));
  ASSERT_EQ(actual.gradients.size(), expected.gradients.size());
  for (std::size_t i = 0; i < expected.gradients.size(); ++i)
    EXPECT_TRUE(at::equal(actual.gradients[i], expected.gradients[i])) << i;
  EXPECT_TRUE(at::equal(actual.random_state, expected.random_state));
}

Outcome step(bool checkpointed, bool autocast = false) {
  at::manual_seed(3);
  Network network;
  const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_();
  at::Tensor output;
  {
    const Autocast guard(autocast);
    output = checkpointed ? checkpoint(network.function(), {x}) : network.function()({x});
  }
  at::rand({10});  // what is drawn since must not matter, and goes on as if nothing had been drawn again
  output.to(at::kFloat).pow(2).sum().backward();
  EXPECT_EQ(network.calls, checkpointed ? 2 : 1);
  return {output.detach(), {x.grad(), network.first.grad(), network.second.grad()}, random_state(at::kCPU)};
}

TEST(Checkpoint, GivesTheSameBitsWithTheSameMasks) {
  const Outcome expected = step(false);
  ASSERT_GT(expected.gradients[0].abs().max().item<float>(), 0.0F);
  expect_equal(step(true), expected);
}

TEST(Checkpoint, RestoresAutocast) {
  const Outcome expected = step(false, true);
  ASSERT_EQ(expected.output.scalar_type(), at::kBFloat16);
  expect_equal(step(true, true), expected);
  EXPECT_FALSE(at::autocast::is_autocast_enabled(at::kCPU));
}

TEST(Checkpoint, KeepsOnlyTheInputs) {
  for (const bool checkpointed : {false, true}) {
    Network network;
    const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_();
    const at::Tensor output = checkpointed ? checkpoint(network.function(), {x}) : network.function()({x});
    EXPECT_EQ(network.hidden_memory->expired(), checkpointed);
    output.sum().backward();
    EXPECT_TRUE(network.hidden_memory->expired());
  }
}

TEST(Checkpoint, LeavesBuffersAsTheFirstCallDid) {
  Tensors expected;
  for (const bool checkpointed : {false, true}) {
    torch::nn::BatchNorm1d norm(6);
    const at::Tensor x = (numbers({5, 6}, 1.1) + 2.0).requires_grad_();
    const CheckpointedFunction function = [&](const Tensors& inputs) { return norm->forward(inputs[0]); };
    const at::Tensor output = checkpointed ? checkpoint(function, {x}, norm->buffers()) : function({x});
    output.pow(3).sum().backward();
    EXPECT_EQ(norm->num_batches_tracked.item<std::int64_t>(), 1);
    const Tensors left = {norm->running_mean, norm->running_var, x.grad(), norm->weight.grad(),
                          norm->bias.grad()};
    if (!checkpointed) expected = left;
    for (std::size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(at::equal(left[i], expected[i])) << i;
  }
}

TEST(Checkpoint, TakesInputsWithoutGradients) {
  Network network;
  const at::Tensor x = numbers({5, 6}, 1.1);
  at::manual_seed(3);
  const at::Tensor output = checkpoint(network.function(), {x});
  output.sum().backward();
  EXPECT_FALSE(x.grad().defined());
  EXPECT_GT(network.first.grad().abs().max().item<float>(), 0.0F);
}

TEST(Checkpoint, GoesBackThroughAGraphAsOftenAsThatIsKept) {
  Network network;
  const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_();
  const at::Tensor sum = checkpoint(network.function(), {x}).sum();
  sum.backward({}, /*retain_graph=*/true);
  const at::Tensor once = x.grad().clone();
  sum.backward();
  EXPECT_TRUE(at::equal(x.grad(), 2 * once));
  EXPECT_EQ(network.calls, 3);
}

TEST(Checkpoint, IsACallAndNoMoreWithoutGradientsOrWithinAnother) {
  Network network;
  const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_();
  {
    const at::NoGradGuard no_grad;
    EXPECT_FALSE(checkpoint(network.function(), {x}).requires_grad());
  }
  EXPECT_EQ(network.calls, 1);
  int outer = 0;
  const at::Tensor output = checkpoint(
      [&](const Tensors& inputs) {
        ++outer;
        return checkpoint(network.function(), inputs).exp();
      },
      {x});
  output.sum().backward();
  EXPECT_EQ(outer, 2);
  EXPECT_EQ(network.calls, 3);  // not a third time for the inner one
}

// The hook that DistributedDataParallel's reducer has on each parameter.
TEST(Checkpoint, RunsHooksOnParametersOnce) {
  Network network;
  int gradients = 0;
  network.first.register_hook([&](const at::Tensor&) { ++gradients; });
  const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_();
  const at::Tensor output = checkpoint(network.function(), {x});
  bool seen = false;
  x.register_hook([&](const at::Tensor&) { seen = is_recomputing(); });
  output.sum().backward();
  EXPECT_EQ(gradients, 1);
  EXPECT_FALSE(seen);
}

// A parameter that is used in two calls gets its gradients' sum in autograd's own order.
TEST(Checkpoint, TakesParametersThatAreShared) {
  Tensors expected;
  for (const bool checkpointed : {false, true}) {
    const at::Tensor weight = numbers({6, 6}, 0.7).requires_grad_();
    const CheckpointedFunction function = [&](const Tensors& inputs) {
      return at::tanh(inputs[0].matmul(weight));
    };
    at::Tensor x = numbers({5, 6}, 1.1);
    for (int i = 0; i < 3; ++i) x = checkpointed ? checkpoint(function, {x}) : function({x});
    x.pow(2).sum().backward();
    if (!checkpointed) expected = {weight.grad()};
    EXPECT_TRUE(at::equal(weight.grad(), expected[0]));
  }
}

TEST(Checkpoint, RefusesAnInputThatIsChanged) {
  const CheckpointedFunction changes = [](const Tensors& inputs) {
    at::Tensor input = inputs[0];
    return input.mul_(2.0).exp();
  };
  const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_() * 1.0;
  expect_refused<std::runtime_error>([&] { checkpoint(changes, {x}); }, {"an input was changed in place"});

  Network network;
  const at::Tensor y = numbers({5, 6}, 1.1);
  const at::Tensor output = checkpoint(network.function(), {y});
  y.add_(1.0);
  expect_refused<std::runtime_error>([&] { output.sum().backward(); }, {"an input was changed in place"});
}

TEST(Checkpoint, RefusesWhatIsDoneOtherwiseTheSecondTime) {
  int calls = 0;
  const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_();
  for (const bool more : {false, true}) {
    calls = 0;
    const at::Tensor output = checkpoint(
        [&](const Tensors& inputs) {
          const at::Tensor result = inputs[0].exp();
          return (++calls == 1) == more ? result : result.sin();
        },
        {x});
    expect_refused<std::runtime_error>([&] { output.sum().backward(); },
                                       {"second call does not do what the first one did"});
  }
}

TEST(Checkpoint, RefusesABackwardPassWithin) {
  const at::Tensor x = numbers({5, 6}, 1.1).requires_grad_();
  const CheckpointedFunction function = [](const Tensors& inputs) {
    inputs[0].exp().sum().backward();
    return inputs[0];
  };
  expect_refused<std::runtime_error>([&] { checkpoint(function, {x}); }, {"runs a backward pass itself"});
}

}  // namespace
}  // namespace lockstep
